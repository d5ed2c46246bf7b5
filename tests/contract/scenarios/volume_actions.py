"""Actions on volumes."""

from typing import Any

from tests.contract.caller import LATEST, UNKNOWN, Caller
from tests.contract.making import image, odd_action, odd_bodies, remove_image, snapshot, volume

CONNECTOR = {"host": "h", "ip": "127.0.0.1", "initiator": "iqn.2000-01.org.example:h", "multipath": False}


def extend(c: Caller) -> None:
    """Growing."""
    one = f"/volumes/{volume(c)}"
    c.act(one, "os-extend", {"new_size": 1}, about="not larger")
    c.act(one, "os-extend", {"new_size": 2}, role="reader")
    c.act(one, "os-extend", {"new_size": 2}, role="other")
    c.act(one, "os-extend", {"new_size": 2})
    c.settle(one, "volume")
    c.get(one, keep=["volume.size"])
    c.act(one, "os-extend_volume_completion", {"error": False}, role="admin")
    c.act(one, "os-extend_volume_completion", {"error": False})
    c.act(one, "os-extend_volume_completion", {"error": False}, role="admin", version="3.70")
    _status(c, one, "in-use")
    c.act(one, "os-extend", {"new_size": 3}, version="3.41", about="in use")
    _status(c, one, "error")
    c.act(one, "os-extend", {"new_size": 3}, about="in error")
    odd_action(c, "volumes", "os-extend", {"new_size": 3}, ["new_size"], role="member")
    odd_action(c, "volumes", "os-extend_volume_completion", {"error": False}, ["error"])
    c.purge(one, "volume")


def _status(c: Caller, one: str, status: str, **more: str) -> None:
    c.act(one, "os-reset_status", {"status": status} | more, role="admin", about=status)


def statuses(c: Caller) -> None:
    """Statuses set by hand, and what they forbid."""
    one = f"/volumes/{volume(c)}"
    for status in (
        "available error in-use creating deleting error_deleting attaching detaching maintenance downloading extending "
        "uploading backing-up restoring-backup retyping error_restoring error_extending managing error_managing reserved "
        "awaiting-transfer nonsense Available"
    ).split():
        _status(c, one, status)
        c.get(one, about=status, keep=["volume.status"])
        c.delete(one, about=status, role="other")
        if status not in {"available", "in-use", "nonsense", "Available"} and "error" not in status:
            c.delete(one, about=status)
        c.act(one, "os-extend", {"new_size": 1}, about=f"while {status}")
        c.act(one, "os-set_bootable", {"bootable": True}, about=f"while {status}")
        c.post(
            "/snapshots",
            {"snapshot": {"volume_id": one[9:], "name": "s" * 256}},
            about=f"while {status}, name too long",
        )
    _status(c, one, "available")
    c.act(one, "os-reset_status", {"status": "error"}, about="by a member")
    for body in (
        {"attach_status": "attached"},
        {"attach_status": "detached"},
        {"attach_status": "nonsense"},
        {"migration_status": "migrating"},
        {"migration_status": "none"},
        {"migration_status": "nonsense"},
        {"migration_status": "error"},
        {},
        {"status": "available", "attach_status": "detached", "migration_status": "none"},
        {"status": "nonsense", "attach_status": "detached"},
    ):
        c.act(one, "os-reset_status", body, role="admin", about=str(sorted(body.items())))
        c.get(one, role="admin", keep=["volume.status", "volume.migration_status"])
    odd_action(c, "volumes", "os-reset_status", {"status": "error"}, ["status", "attach_status", "migration_status"])
    c.purge(one, "volume")


def flags(c: Caller) -> None:
    """Bootable and read-only."""
    one = f"/volumes/{volume(c)}"
    for value in (True, "false", "yes", "nonsense", None, False):
        c.act(one, "os-set_bootable", {"bootable": value}, about=repr(value))
        c.get(one, keep=["volume.bootable"])
        c.act(one, "os-update_readonly_flag", {"readonly": value}, about=repr(value))
        c.get(one, keep=["volume.metadata"])
    for role in ("reader", "other"):
        c.act(one, "os-set_bootable", {"bootable": True}, role=role)
        c.act(one, "os-update_readonly_flag", {"readonly": True}, role=role)
    odd_action(c, "volumes", "os-set_bootable", {"bootable": True}, ["bootable"], role="member")
    odd_action(c, "volumes", "os-update_readonly_flag", {"readonly": True}, ["readonly"], role="member")
    odd_action(c, "volumes", "os-set_image_metadata", {"metadata": {"k": "v"}}, ["metadata"], role="member")
    odd_action(c, "volumes", "os-unset_image_metadata", {"key": "k"}, ["key"], role="member")
    odd_action(c, "volumes", "os-show_image_metadata", None, role="member")
    c.purge(one, "volume")


def attaching(c: Caller) -> None:
    """Attaching by the old actions."""
    one = f"/volumes/{volume(c)}"
    server = "0f0f0f0f-0000-4000-8000-000000000001"
    c.act(one, "os-begin_detaching", about="not attached")
    c.act(one, "os-roll_detaching", about="not detaching")
    c.act(one, "os-unreserve", about="not reserved")
    c.act(one, "os-detach", {}, about="not attached")
    for role in ("reader", "other"):
        c.act(one, "os-reserve", role=role)
        c.act(one, "os-attach", {"instance_uuid": server, "mountpoint": "/dev/vdb", "mode": "rw"}, role=role)
        c.act(one, "os-initialize_connection", {"connector": CONNECTOR}, role=role)
        c.act(one, "os-terminate_connection", {"connector": CONNECTOR}, role=role)
    c.act(one, "os-reserve")
    c.get(one, keep=["volume.status"])
    c.act(one, "os-reserve", about="again")
    c.delete(one, about="reserved")
    c.act(one, "os-unreserve")
    c.get(one, keep=["volume.status"])
    c.act(one, "os-reserve")
    c.act(one, "os-initialize_connection", {"connector": CONNECTOR})
    c.act(one, "os-initialize_connection", {"connector": {}}, about="an empty connector")
    c.act(one, "os-attach", {"host_name": "h", "mountpoint": "/dev/vdb", "mode": "ro"})
    for version in ("3.0", "3.26", "3.27", LATEST):
        c.get(one, version=version, keep=["volume.status", "volume.attachments[].device"])
        c.get(one, version=version, role="admin", keep=["volume.attachments[].host_name"])
    c.delete(one, about="attached")
    c.act(one, "os-extend", {"new_size": 2}, version="3.41")
    c.post("/snapshots", {"snapshot": {"volume_id": one[9:]}}, version="3.65", about="in use, no force")
    c.act(one, "os-begin_detaching")
    c.get(one, keep=["volume.status"])
    c.act(one, "os-roll_detaching")
    c.get(one, keep=["volume.status"])
    c.act(one, "os-detach", {"attachment_id": UNKNOWN}, about="an unknown attachment")
    c.act(one, "os-begin_detaching")
    c.act(one, "os-terminate_connection", {"connector": CONNECTOR})
    c.act(one, "os-detach", {})
    c.get(one, keep=["volume.status", "volume.attachments"])
    c.act(one, "os-force_detach", {}, about="by a member")
    c.act(one, "os-force_detach", {"attachment_id": UNKNOWN}, role="admin", about="an unknown attachment")
    for body in (
        {"instance_uuid": server},
        {"mountpoint": "/dev/vdb"},
        {"instance_uuid": "x", "mountpoint": "/dev/vdb"},
    ):
        c.act(one, "os-attach", body, about=str(sorted(body)))
    c.purge(one, "volume")


def attaching_bodies(c: Caller) -> None:
    """Bodies of the actions that attach."""
    good = {"instance_uuid": UNKNOWN, "mountpoint": "/dev/vdb", "mode": "rw"}
    odd_action(c, "volumes", "os-attach", good, ["instance_uuid", "mountpoint", "mode", "host_name"], role="member")
    odd_action(c, "volumes", "os-detach", {"attachment_id": UNKNOWN}, ["attachment_id"], role="member")
    for action in ("os-reserve", "os-unreserve", "os-begin_detaching", "os-roll_detaching"):
        odd_action(c, "volumes", action, {}, role="member")
    for action in ("os-initialize_connection", "os-terminate_connection"):
        odd_action(c, "volumes", action, {"connector": CONNECTOR}, ["connector"], role="member")
    forced: dict[str, Any] = {"attachment_id": UNKNOWN, "connector": CONNECTOR}
    odd_action(c, "volumes", "os-force_detach", forced, ["attachment_id", "connector"])


def upload(c: Caller) -> None:
    """A volume as an image."""
    one = f"/volumes/{volume(c)}"
    c.act(one, "os-volume_upload_image", {"image_name": "x"}, role="reader")
    c.act(one, "os-volume_upload_image", {"image_name": "x"}, role="other")
    answer = c.act(
        one,
        "os-volume_upload_image",
        {"image_name": c.name("image"), "disk_format": "qcow2", "container_format": "bare"},
    )
    c.settle(one, "volume")
    remove_image(c, answer.find("os-volume_upload_image.image_id"))
    answer = c.act(
        one,
        "os-volume_upload_image",
        {"image_name": c.name("image"), "disk_format": "qcow2", "visibility": "private", "protected": False},
        version="3.1",
    )
    c.settle(one, "volume")
    remove_image(c, answer.find("os-volume_upload_image.image_id"))
    c.act(one, "os-volume_upload_image", {"image_name": "x", "visibility": "public"}, about="public, by a member")
    c.act(one, "os-volume_upload_image", {"image_name": "x", "container_format": "nonsense"}, about="container")
    _status(c, one, "in-use")
    c.act(one, "os-volume_upload_image", {"image_name": "x"}, about="in use")
    _status(c, one, "error")
    c.act(one, "os-volume_upload_image", {"image_name": "x"}, about="in error")
    good = {"image_name": "x", "force": False, "disk_format": "raw", "container_format": "bare"}
    odd_action(c, "volumes", "os-volume_upload_image", good, good, version="3.0", role="member")
    good |= {"visibility": "private", "protected": False}
    odd_action(c, "volumes", "os-volume_upload_image", good, ["visibility", "protected"], role="member")
    c.purge(one, "volume")


def retype_and_migrate(c: Caller) -> None:
    """Another type, another place."""
    kind = c.post("/types", {"volume_type": {"name": c.name("type")}}, role="admin")
    type_id = str(kind.find("volume_type.id"))
    one = f"/volumes/{volume(c)}"
    c.act(one, "os-retype", {"new_type": c.name("type"), "migration_policy": "never"}, role="reader")
    c.act(one, "os-retype", {"new_type": c.name("type"), "migration_policy": "never"}, role="other")
    c.act(one, "os-retype", {"new_type": "no-such"})
    c.act(one, "os-retype", {"new_type": UNKNOWN})
    own = str(c.ask("GET", one).find("volume.volume_type"))
    c.act(one, "os-retype", {"new_type": c.hide(own, "the default type")}, about="the same type")
    c.act(one, "os-retype", {"new_type": c.name("type"), "migration_policy": "never"})
    c.settle(one, "volume")
    _status(c, one, "error")
    c.act(one, "os-retype", {"new_type": own}, about="in error")
    _status(c, one, "available")
    for body in (
        {"host": "no-such@host#pool"},
        {"host": "no-such"},
        {"cluster": "no-such"},
        {"host": "h", "cluster": "c"},
    ):
        for version in ("3.15", "3.16"):
            c.act(one, "os-migrate_volume", body, role="admin", version=version, about=str(sorted(body)))
    c.act(one, "os-migrate_volume", {"host": "no-such"}, about="by a member")
    own_host = str(c.ask("GET", one, role="admin").find("volume.os-vol-host-attr:host"))
    c.act(one, "os-migrate_volume", {"host": c.hide(own_host, "its host")}, role="admin", about="where it is")
    c.act(one, "os-migrate_volume_completion", {"new_volume": UNKNOWN}, role="admin", about="no volume")
    c.act(one, "os-migrate_volume_completion", {"new_volume": one[9:]}, role="admin", about="not migrating")
    c.act(one, "os-migrate_volume_completion", {"new_volume": one[9:]}, about="by a member")
    odd_action(
        c, "volumes", "os-retype", {"new_type": "x", "migration_policy": "never"}, ["new_type", "migration_policy"]
    )
    good = {"host": "h", "force_host_copy": False, "lock_volume": False}
    odd_action(c, "volumes", "os-migrate_volume", good, good, version="3.15")
    odd_action(c, "volumes", "os-migrate_volume", good, ["host", "cluster"])
    good = {"new_volume": UNKNOWN, "error": False}
    odd_action(c, "volumes", "os-migrate_volume_completion", good, good)
    c.purge(one, "volume")
    c.ask("DELETE", f"/types/{type_id}", role="admin")


def content(c: Caller) -> None:
    """Reverting and imaging anew."""
    one = f"/volumes/{volume(c)}"
    c.act(one, "revert", {"snapshot_id": UNKNOWN})
    first = snapshot(c, one[9:])
    second = snapshot(c, one[9:])
    c.act(one, "revert", {"snapshot_id": first}, about="not the latest")
    c.act(one, "revert", {"snapshot_id": second}, version="3.39")
    c.act(one, "revert", {"snapshot_id": second}, role="reader")
    c.act(one, "revert", {"snapshot_id": second}, role="other")
    c.act(one, "revert", {"snapshot_id": second})
    c.settle(one, "volume")
    picture = image(c)
    c.act(one, "os-reimage", {"image_id": picture}, version="3.67")
    c.act(one, "os-reimage", {"image_id": picture}, role="reader")
    c.act(one, "os-reimage", {"image_id": picture}, role="other")
    c.act(one, "os-reimage", {"image_id": UNKNOWN})
    _status(c, one, "in-use")
    c.act(one, "os-reimage", {"image_id": picture}, about="in use")
    c.act(one, "revert", {"snapshot_id": second}, about="in use")
    _status(c, one, "available")
    odd_action(c, "volumes", "revert", {"snapshot_id": UNKNOWN}, ["snapshot_id"])
    good = {"image_id": UNKNOWN, "reimage_reserved": False}
    odd_action(c, "volumes", "os-reimage", good, good)
    c.act(one, "os-force_delete", about="by a member")
    c.act(one, "os-force_delete", role="admin", about="with snapshots")
    odd_action(c, "volumes", "os-force_delete", None)
    odd_action(c, "volumes", "os-unmanage", None)
    for taken in (second, first):
        c.purge(f"/snapshots/{taken}", "snapshot")
    c.purge(one, "volume")
    remove_image(c, picture)


def encryption(c: Caller) -> None:
    """What a volume tells of its encryption, where there is none."""
    one = f"/volumes/{volume(c)}"
    c.get(f"{one}/encryption")
    c.get(f"{one}/encryption/encryption_key_id")
    c.get(f"{one}/encryption", role="reader")
    c.get(f"{one}/encryption", role="other")
    c.get(f"/volumes/{UNKNOWN}/encryption")
    c.purge(one, "volume")


def hints(c: Caller) -> None:
    """Hints for the scheduler."""
    made = {"size": 1, "volume_type": "no-such-type"}
    value: Any
    for value in (
        {},
        {"same_host": UNKNOWN},
        {"same_host": [UNKNOWN]},
        {"same_host": "x"},
        {"different_host": []},
        {"query": "[]"},
        {"local_to_instance": "x"},
        {"any": "thing"},
        [],
        "x",
        None,
    ):
        body = {"volume": made, "OS-SCH-HNT:scheduler_hints": value}
        c.post("/volumes", body, about=f"hints {value}")
        c.post("/volumes", {"volume": made | {"scheduler_hints": value}}, version="3.52", about=f"hints inside {value}")


def manage(c: Caller) -> None:
    """What nobody manages."""
    host = c.ask("GET", "/scheduler-stats/get_pools", role="admin").find("pools.0.name")
    c.hide(host.replace("#", "%23"), "host")
    for kind in ("manageable_volumes", "manageable_snapshots"):
        for version in ("3.7", "3.8"):
            c.get(f"/{kind}?host={host.replace('#', '%23')}", version=version, role="admin")
            c.get(f"/{kind}/detail?host={host.replace('#', '%23')}", version=version, role="admin")
        c.get(f"/{kind}", role="admin", about="no host")
        c.get(f"/{kind}?host=no-such", role="admin")
        c.get(f"/{kind}?host=x&cluster=y", role="admin")
        c.get(f"/{kind}?host={host.replace('#', '%23')}")
        c.get(f"/{kind}?host={host.replace('#', '%23')}&sort=no_such", role="admin")
        c.get(f"/{kind}?host={host.replace('#', '%23')}&limit=x", role="admin")
        c.get(f"/os-{kind[11:-1]}-manage?host={host.replace('#', '%23')}", role="admin", version="3.0")
    volume_body = {"volume": {"host": "no-such@host#pool", "ref": {"source-name": "x"}}}
    for path in ("/os-volume-manage", "/manageable_volumes"):
        c.post(path, volume_body, role="admin")
        c.post(path, volume_body)
        fields = "host ref name description volume_type metadata availability_zone bootable cluster".split()
        odd_bodies(c, "POST", path, volume_body, fields, role="admin")
    snapshot_body = {"snapshot": {"volume_id": UNKNOWN, "ref": {"source-name": "x"}}}
    for path in ("/os-snapshot-manage", "/manageable_snapshots"):
        c.post(path, snapshot_body, role="admin")
        c.post(path, snapshot_body)
        odd_bodies(c, "POST", path, snapshot_body, "volume_id ref name description metadata".split(), role="admin")
