"""Volumes: their life, views, lists and metadata."""

from typing import Any

from tests.contract.caller import LATEST, UNKNOWN, Caller
from tests.contract.making import image, odd_bodies, remove_image, snapshot, versions_of, volume

VIEWS = "3.0 3.3 3.4 3.12 3.13 3.20 3.21 3.47 3.48 3.60 3.61 3.62 3.63 3.64 3.65 3.68 3.69 3.71".split()
"""Versions at which a view of a volume changes, and the ones before."""

NEVER_MADE = {"size": 1, "volume_type": "no-such-type"}
"""A volume whose creation ends with a 404 when everything else in its body is fine."""


def life(c: Caller) -> None:
    """A volume, from its making to its end."""
    first = c.post(
        "/volumes", {"volume": {"size": 1, "name": c.name("first"), "description": "d", "metadata": {"k": "v"}}}
    )
    one = f"/volumes/{first.find('volume.id')}"
    c.settle(one, "volume")
    for version in VIEWS:
        for role in ("admin", "member"):
            c.get(one, version=version, role=role)
    c.get(one, role="reader")
    c.get(one, role="other")
    c.put(one, {"volume": {"name": c.name("second"), "description": None}}, keep=["volume.description"])
    c.put(
        one,
        {"volume": {"display_name": c.name("third"), "metadata": {"a": "b"}}},
        version="3.0",
        keep=["volume.metadata"],
    )
    c.put(one, {"volume": {}})
    c.put(one, {"volume": {"size": 2}})
    c.put(one, {"volume": {"name": c.name("x")}}, role="reader")
    c.put(one, {"volume": {"name": c.name("x")}}, role="other")
    c.delete(one, role="reader")
    c.delete(one, role="other")
    c.delete(f"{one}?force=true", about="force by a member", version="3.23")
    c.settle(one, "volume")
    c.delete(one, about="deleted already")
    c.get(one)
    again = volume(c)
    c.delete(f"/volumes/{again}?force=true", role="admin", version="3.22")
    c.settle(f"/volumes/{again}", "volume")


def created(c: Caller) -> None:
    """What an accepted creation answers, by version."""
    for version in VIEWS:
        answer = c.post("/volumes", {"volume": {"size": 1}}, version=version, role="admin")
        c.ask("POST", f"/volumes/{answer.find('volume.id')}/action", {"os-force_delete": {}}, role="admin")
        c.settle(f"/volumes/{answer.find('volume.id')}", "volume", quiet=True)


def sources(c: Caller) -> None:
    """Volumes made of something, and what may not be."""
    source = volume(c, metadata={"k": "v"})
    taken = snapshot(c, source)
    picture = image(c)
    made = [
        volume(c, snapshot_id=taken),
        volume(c, source_volid=source),
        volume(c, snapshot_id=taken, size=2),
        volume(c, imageRef=picture),
        volume(c, image_id=picture),
    ]
    of_image = made[3]
    for one in made[:4]:
        c.get(f"/volumes/{one}", role="admin", keep=["volume.size", "volume.bootable"])
    no_size = c.post("/volumes", {"volume": {"source_volid": source}}, about="no size", keep=["volume.size"])
    c.settle(f"/volumes/{no_size.find('volume.id')}", "volume")
    for fields in (
        {"size": 1, "snapshot_id": UNKNOWN},
        {"size": 1, "source_volid": UNKNOWN},
        {"size": 1, "imageRef": UNKNOWN},
        {"size": 1, "imageRef": "no-such-image"},
        {"size": 1, "backup_id": UNKNOWN},
        {"size": 1, "consistencygroup_id": UNKNOWN},
        {"size": 1, "group_id": UNKNOWN},
        {"size": 1, "volume_type": UNKNOWN},
        {"size": 1, "volume_type": "no-such"},
        {"size": 1, "availability_zone": "no-such"},
        {"size": 1, "snapshot_id": taken, "source_volid": source},
        {"size": 1, "snapshot_id": taken, "imageRef": picture},
        {"size": 1, "source_volid": source, "imageRef": picture},
        {"imageRef": picture},
        {"snapshot_id": UNKNOWN},
        {"size": 1, "multiattach": True},
        {"size": 1, "multiattach": False, "volume_type": "no-such"},
        {"size": 1, "source_replica": UNKNOWN},
        {},
    ):
        c.post("/volumes", {"volume": fields}, about=", ".join(sorted(fields)))
    bigger = volume(c, size=2)
    c.post("/volumes", {"volume": {"size": 1, "source_volid": bigger}}, about="smaller than its source")
    c.post("/volumes", {"volume": {"size": 1, "source_volid": source}}, role="other", about="another's source")
    c.post("/volumes", {"volume": {"size": 1, "snapshot_id": taken}}, role="other", about="another's snapshot")
    c.post("/volumes", {"volume": {"size": 1}}, role="reader")
    c.delete(f"/volumes/{source}", about="with a snapshot")
    large = image(c, min_disk=2)
    c.post("/volumes", {"volume": {"size": 1, "imageRef": large}}, about="smaller than min_disk")
    views = ("3.0", "3.3", "3.4", LATEST)
    for version in views:
        c.get(f"/volumes/{of_image}", version=version)
        c.get("/volumes/detail?bootable=true", version=version)
    _image_metadata(c, of_image)
    _image_metadata(c, source)
    c.delete(f"/volumes/{source}?cascade=true", about="with its snapshot")
    c.settle(f"/volumes/{source}", "volume")
    for one in [*made, bigger, str(no_size.find("volume.id"))]:
        c.purge(f"/volumes/{one}", "volume")
    for one in (picture, large):
        remove_image(c, one)


def _image_metadata(c: Caller, volume_id: str) -> None:
    one = f"/volumes/{volume_id}"
    c.act(one, "os-show_image_metadata")
    c.act(one, "os-set_image_metadata", {"metadata": {"os_distro": "debian", "k": "v"}})
    c.act(one, "os-show_image_metadata", about="after", role="reader")
    c.act(one, "os-set_image_metadata", {"metadata": {"k": "v"}}, role="reader")
    c.act(one, "os-unset_image_metadata", {"key": "k"})
    c.act(one, "os-unset_image_metadata", {"key": "k"}, about="gone already")
    c.act(one, "os-unset_image_metadata", {"key": "os_distro"})


def bodies(c: Caller) -> None:
    """Bodies of a creation that are not as they should be, before and after 3.53 closed them."""
    fields = (
        "size name display_name description metadata snapshot_id source_volid imageRef image_id availability_zone "
        "volume_type multiattach consistencygroup_id"
    ).split()
    for version in ("3.0", LATEST):
        odd_bodies(c, "POST", "/volumes", {"volume": NEVER_MADE}, fields, version=version)
    odd_bodies(c, "POST", "/volumes", {"volume": NEVER_MADE}, ["group_id"], version="3.13")
    odd_bodies(c, "POST", "/volumes", {"volume": NEVER_MADE}, ["backup_id"], version="3.47")
    odd_bodies(c, "POST", "/volumes", {"volume": NEVER_MADE}, ["group_id", "backup_id"], version="3.52")
    one = volume(c)
    fields = ["name", "display_name", "description", "display_description", "metadata"]
    odd_bodies(c, "PUT", f"/volumes/{one}", {"volume": {"name": "n"}}, fields)
    c.purge(f"/volumes/{one}", "volume")


def lists(c: Caller) -> None:
    """Lists: filters, order, pages."""
    names = [c.name(word) for word in ("a", "b", "c")]
    made = [volume(c, name=name, size=size, metadata={"n": name}) for name, size in zip(names, (2, 1, 1), strict=True)]
    keep = ["volumes[].name"]
    for version in VIEWS:
        c.get("/volumes/detail?sort=name:asc", version=version, keep=keep)
        c.get("/volumes/detail?sort=name:asc", version=version, role="admin", keep=keep)
    c.get("/volumes", role="reader")
    c.get("/volumes", role="other")
    c.get("/volumes/detail", role="other")
    for query in (
        "sort=name",
        "sort=name:asc",
        "sort=name:desc",
        "sort=size:asc,name:desc",
        "sort_key=name&sort_dir=asc",
        "sort_key=name",
        "sort_dir=asc",
        "sort=no_such",
        "sort=name:sideways",
        "sort_key=no_such",
        "sort_key=display_name&sort_dir=asc",
        "sort=metadata",
        "sort=name:asc&sort_key=name",
        "sort=",
        "sort=name:asc&limit=2",
        "sort=name:asc&limit=0",
        "limit=-1",
        "limit=x",
        "sort=name:asc&offset=1",
        "offset=-1",
        "offset=x",
        "sort=name:asc&limit=1&offset=1",
        f"sort=name:asc&marker={made[0]}",
        f"marker={UNKNOWN}",
        "marker=nonsense",
        f"sort=name:asc&limit=1&marker={made[0]}",
        "limit=100000",
        "offset=99999999999999999999",
    ):
        c.get(f"/volumes?{query}", keep=keep)
    for key in ("host", "bootable", "availability_zone", "created_at", "updated_at", "status", "size", "id"):
        c.get(f"/volumes?sort={key}")
    for query in (
        f"name={names[0]}",
        f"display_name={names[0]}",
        "name=no-such",
        "status=available",
        "status=error",
        "status=nonsense",
        "size=2",
        "size=x",
        "bootable=false",
        "bootable=true",
        "bootable=nonsense",
        "bootable=0",
        f"name~={names[0][1:]}",
        "name~=no-such",
        "status~=avail",
        f"metadata={{'n': '{names[0]}'}}",
        f"metadata={{'n':'{names[0]}','x':'y'}}",
        f"id={made[1]}",
        "availability_zone=nova",
        "user_id=x",
        "no_such_filter=1",
        "glance_metadata={'k': 'v'}",
        f"group_id={UNKNOWN}",
        "volume_type_id=x",
        "host=x",
        "migration_status=none",
        "description=d",
        "multiattach=false",
        "multiattach=true",
        "consumes_quota=true",
        "consumes_quota=false",
        "with_count=true",
        "with_count=true&limit=1",
        "with_count=nonsense",
        "encryption_key_id=x",
        "source_volid=x",
        "created_at=gt:2000-01-01T00:00:00",
        "created_at=lt:2000-01-01T00:00:00",
        "created_at=nonsense",
        "created_at=gt:2000-01-01T00:00:00,lt:2100-01-01",
        "updated_at=gte:2000-01-01",
        "created_at=xx:2000-01-01",
        "all_tenants=1&name=no-such",
        "all_tenants=true",
        "all_tenants=nonsense",
        "project_id=x",
        "changes-since=x",
    ):
        for version in versions_of(query):
            c.get(f"/volumes?{query}&sort=name:asc", version=version, keep=[*keep, "count"])
    for query in (
        f"all_tenants=1&name={names[0]}",
        f"name={names[0]}",
        f"all_tenants=1&project_id={c.project()}",
        "host=x",
    ):
        c.get(f"/volumes/detail?{query}", role="admin", keep=keep)
    for version in ("3.11", "3.12", "3.35", "3.36", LATEST):
        c.get("/volumes/summary", version=version, keep=["volume-summary"])
    c.get("/volumes/summary", role="other", keep=["volume-summary"])
    c.get("/volumes/summary?all_tenants=1", role="admin")
    for one in made:
        c.purge(f"/volumes/{one}", "volume")


def metadata(c: Caller) -> None:
    """Metadata of a volume, with its Etag."""
    one = f"/volumes/{volume(c, metadata={'k': 'v'})}/metadata"
    for version in ("3.0", "3.14", "3.15", LATEST):
        c.get(one, version=version, keep=["metadata"])
    c.post(one, {"metadata": {"a": "b"}}, keep=["metadata"])
    c.put(one, {"metadata": {"c": "d"}}, keep=["metadata"])
    c.get(f"{one}/c", keep=["meta"])
    c.get(f"{one}/no-such")
    c.put(f"{one}/c", {"meta": {"c": "e"}}, keep=["meta"])
    c.put(f"{one}/c", {"meta": {"other": "e"}}, about="another key")
    c.put(f"{one}/c", {"meta": {"c": "e", "f": "g"}}, about="two keys")
    c.put(f"{one}/new", {"meta": {"new": "e"}}, about="a new key", keep=["meta"])
    c.delete(f"{one}/c")
    c.delete(f"{one}/c", about="gone already")
    etag = c.ask("GET", one).headers.get("etag", "")
    c.put(one, {"metadata": {"x": "y"}}, headers={"If-Match": "wrong"}, about="If-Match is wrong")
    c.put(one, {"metadata": {"x": "y"}}, headers={"If-Match": etag}, about="If-Match is right")
    for role in ("reader", "other"):
        c.get(one, role=role)
        c.put(one, {"metadata": {"x": "y"}}, role=role)
        c.post(one, {"metadata": {"x": "y"}}, role=role)
        c.delete(f"{one}/x", role=role)
    c.put(one, {"metadata": {}}, about="nothing", keep=["metadata"])
    c.get(f"/volumes/{UNKNOWN}/metadata")
    for method, path in (("POST", one), ("PUT", one)):
        odd_bodies(c, method, path, {"metadata": {"k": "v"}}, ["k"])
        c.probe(method, path, "odd metadata", _odd_metadata("metadata"))
    odd_bodies(c, "PUT", f"{one}/k", {"meta": {"k": "v"}}, ["k"])
    c.purge(one.removesuffix("/metadata"), "volume")


def _odd_metadata(key: str) -> dict[str, Any]:
    keys = {
        "long key": "k" * 256,
        "empty key": "",
        "blank key": " ",
        "slash": "a/b",
        "snowman": "\u2603",
        "percent": "a%b",
    }
    return {label: {key: {odd: "v"}} for label, odd in keys.items()} | {
        "many": {key: {f"k{n}": "v" for n in range(200)}}
    }
