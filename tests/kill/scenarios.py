"""What is asked while processes die: each create by source and rung, and the other verbs.

A scenario prepares, asks once, and then tells what came of it; it raises where that is neither the whole nor nothing.
`again` is what a client does whose API died before it took the request.
"""

import contextlib
import uuid
from typing import Any

import sqlalchemy as sa

from breezeblock.db import tables
from breezeblock.errors import BreezeblockError, NotFound, ServiceUnavailable
from tests.drivers.nbd_client import NbdClient
from tests.kill.world import EMPTY_SHA, PAYLOAD, PAYLOAD_SHA, World

CONNECTOR = {"host": "client", "ip": "127.0.0.1"}


def fresh() -> str:
    return f"v{uuid.uuid4().hex[:10]}"


class Base:
    """What stands ready on a world for all scenarios."""

    def __init__(self, world: World):
        self.image = world.image()
        self.qcow2 = world.image("qcow2")
        self.volumes, self.snapshots = {}, {}
        for backend in ("sim", "dir", "weak"):
            self.volumes[backend] = world.made(
                "volumes", size=1, name=f"base-{backend}", imageRef=self.image, volume_type=f"replicated-{backend}"
            )
            self.snapshots[backend] = world.made("snapshots", volume_id=self.volumes[backend], name=f"base-{backend}")
        self.backup = world.made("backups", volume_id=self.volumes["sim"], name="base")
        self.image_volume = world.image(location=f"cinder://{self.volumes['sim']}")
        with world.database.begin() as connection:  # the project that images belong to
            owner = sa.select(tables.images.c.owner).where(tables.images.c.id == self.image_volume)
            volume = tables.volumes
            changed = sa.update(volume).where(volume.c.id == self.volumes["sim"])
            connection.execute(changed.values(metadata={"image_owner": connection.execute(owner).scalar_one()}))
        for volume in self.volumes.values():
            world.wait(
                lambda at=f"/volumes/{volume}/replication": world.call("GET", at)["replication"]["last_in_step_at"]
            )
        world.settle()


class Create:
    """A volume of some source: available with its content, or in error with nothing left; then deleted without trace."""

    outcomes = {"available"}
    background = ()

    def __init__(self, name: str, volume_type: str, content: str, source, size: int = 1, outcomes=("available",)):
        self.name, self.volume_type, self.content_sha, self.source, self.size = (
            name,
            volume_type,
            content,
            source,
            size,
        )
        self.outcomes = set(outcomes)

    def prepare(self, world: World, base: Base) -> dict[str, Any]:
        source = self.source(world, base)
        return {"name": fresh(), "size": self.size, "volume_type": self.volume_type, **source}

    def ask(self, world: World, base: Base, state) -> None:
        world.client.call("POST", "/volumes", {"volume": state})

    def again(self, world: World, base: Base, state) -> None:
        if world.find("volumes", state["name"]) is None:
            self.ask(world, base, state)

    def outcome(self, world: World, base: Base, state) -> str:
        found = world.find("volumes", state["name"])
        assert found is not None
        operations = world.call("GET", f"/operations?resource_id={found['id']}")["operations"]
        assert len(operations) == 1, operations
        if found["status"] == "available":
            assert world.content(found["id"]) == self.content_sha, "another content"
            assert found["size"] == self.size
        else:
            assert found["status"] == "error", found["status"]
            assert operations[0]["message"], operations
        return str(found["status"])

    def clean(self, world: World, base: Base, state) -> None:
        world.remove("volumes", world.find("volumes", state["name"])["id"])
        assert world.find("volumes", state["name"]) is None


class Verb:
    """Something done to a volume of its own, that holds the payload."""

    outcomes = {"done"}
    background: tuple[str, ...] = ()
    """The places that workers pass by themselves now and then, and that this scenario is about."""

    def __init__(self, name: str, backend: str):
        self.name, self.backend = name, backend

    def prepare(self, world: World, base: Base) -> dict[str, Any]:
        return {"volume": self.clone(world, base)}

    def clone(self, world, base, volume_type=None):
        source = base.volumes[self.backend]
        kind = volume_type or self.backend
        return world.made("volumes", size=1, name=fresh(), source_volid=source, volume_type=kind)

    def ask(self, world: World, base: Base, state) -> None:
        raise NotImplementedError

    def is_asked(self, world: World, base: Base, state) -> bool:
        raise NotImplementedError

    def again(self, world: World, base: Base, state) -> None:
        if not self.is_asked(world, base, state):
            self.ask(world, base, state)

    def outcome(self, world: World, base: Base, state) -> str:
        volume = world.call("GET", f"/volumes/{state['volume']}")["volume"]
        assert volume["status"] == "available", volume
        assert world.content(state["volume"]) == PAYLOAD_SHA, "another content"
        return "done"

    def clean(self, world: World, base: Base, state) -> None:
        world.remove("volumes", state["volume"])


def is_gone(world: World, kind: str, resource_id: str) -> bool:
    try:
        world.call("GET", f"/{kind}/{resource_id}")
    except NotFound:
        return True
    return False


class Delete(Verb):
    """A volume with all that hangs on it."""

    def prepare(self, world, base):
        state = {"volume": self.clone(world, base, f"replicated-{self.backend}")}
        state["snapshot"] = world.made("snapshots", volume_id=state["volume"], name=fresh())
        world.request_refresh(state["volume"])
        world.settle()
        return state

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/volumes/{state['volume']}?cascade=true")

    def is_asked(self, world, base, state):
        return is_gone(world, "volumes", state["volume"])

    def outcome(self, world, base, state):
        assert is_gone(world, "volumes", state["volume"])
        assert is_gone(world, "snapshots", state["snapshot"])
        return "done"

    def clean(self, world, base, state):
        pass


class Extend(Verb):
    def ask(self, world, base, state):
        world.client.call("POST", f"/volumes/{state['volume']}/action", {"os-extend": {"new_size": 2}})

    def is_asked(self, world, base, state):
        return world.call("GET", f"/volumes/{state['volume']}")["volume"]["size"] == 2


class CreateSnapshot(Verb):
    def prepare(self, world, base):
        return {**super().prepare(world, base), "name": fresh()}

    def ask(self, world, base, state):
        world.client.call(
            "POST", "/snapshots", {"snapshot": {"volume_id": state["volume"], "name": state["name"], "force": True}}
        )

    def is_asked(self, world, base, state):
        return world.find("snapshots", state["name"]) is not None

    def outcome(self, world, base, state):
        snapshot = world.find("snapshots", state["name"])
        assert snapshot["status"] == "available", snapshot
        copy = world.made("volumes", snapshot_id=snapshot["id"], name=fresh(), volume_type=self.backend)
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        world.remove("snapshots", snapshot["id"])
        return super().outcome(world, base, state)


class DeleteSnapshot(Verb):
    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "snapshot": world.made("snapshots", volume_id=state["volume"], name=fresh())}

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/snapshots/{state['snapshot']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "snapshots", state["snapshot"])

    def outcome(self, world, base, state):
        assert is_gone(world, "snapshots", state["snapshot"])
        return super().outcome(world, base, state)


class CreateBackup(CreateSnapshot):
    def ask(self, world, base, state):
        world.client.call("POST", "/backups", {"backup": {"volume_id": state["volume"], "name": state["name"]}})

    def is_asked(self, world, base, state):
        return world.find("backups", state["name"]) is not None

    def outcome(self, world, base, state):
        backup = world.find("backups", state["name"])
        assert backup["status"] == "available", backup
        copy = world.made("volumes", size=1, backup_id=backup["id"], name=fresh(), volume_type=self.backend)
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        world.remove("backups", backup["id"])
        return Verb.outcome(self, world, base, state)


class RestoreBackup(Verb):
    def prepare(self, world, base):
        return {"volume": world.made("volumes", size=1, name=fresh(), volume_type=self.backend)}

    def ask(self, world, base, state):
        world.client.call("POST", f"/backups/{base.backup}/restore", {"restore": {"volume_id": state["volume"]}})

    def is_asked(self, world, base, state):
        return world.content(state["volume"]) == PAYLOAD_SHA


class DeleteBackup(Verb):
    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "backup": world.made("backups", volume_id=state["volume"], name=fresh())}

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/backups/{state['backup']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "backups", state["backup"])

    def outcome(self, world, base, state):
        assert is_gone(world, "backups", state["backup"])
        return super().outcome(world, base, state)


class Connect(Verb):
    """An attachment that is connected: exported, and free again when it is deleted."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        body = {"attachment": {"volume_uuid": state["volume"]}}
        return {**state, "attachment": world.call("POST", "/attachments", body)["attachment"]["id"]}

    def ask(self, world, base, state):
        world.client.call("PUT", f"/attachments/{state['attachment']}", {"attachment": {"connector": CONNECTOR}})

    def is_asked(self, world, base, state):
        return bool(self.shown(world, state)["connection_info"])

    def shown(self, world, state):
        return world.call("GET", f"/attachments/{state['attachment']}")["attachment"]

    def outcome(self, world, base, state):
        assert self.shown(world, state)["connection_info"]
        world.call("DELETE", f"/attachments/{state['attachment']}")
        return super().outcome(world, base, state)


class Disconnect(Connect):
    def prepare(self, world, base):
        state = super().prepare(world, base)
        Connect.ask(self, world, base, state)
        return state

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/attachments/{state['attachment']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "attachments", state["attachment"])

    def outcome(self, world, base, state):
        assert is_gone(world, "attachments", state["attachment"])
        return Verb.outcome(self, world, base, state)


class RefreshReplica(Verb):
    """A refresh as the worker's rounds request it."""

    def ask(self, world, base, state):
        world.request_refresh(state["volume"])

    def again(self, world, base, state):
        pass

    def in_step_at(self, world, state):
        found = world.call("GET", f"/volumes/{state['volume']}/replication")["replication"]
        return found["last_in_step_at"]

    def outcome(self, world, base, state):
        assert self.in_step_at(world, state)
        copy = world.made("volumes", size=1, source_replica=state["volume"], name=fresh(), volume_type=self.backend)
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        return super().outcome(world, base, state)


class RequestRefresh(RefreshReplica):
    """The rounds of the worker request it, for a volume that never was in step."""

    def ask(self, world, base, state):
        with world.database.begin() as connection:
            changed = sa.update(tables.volumes).where(tables.volumes.c.id == state["volume"])
            connection.execute(changed.values(replication_status="enabled", replicated_at=None))
        world.wait(lambda: self.in_step_at(world, state))


class Attached(Verb):
    """Something done to a volume that is connected."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        body = {"attachment": {"volume_uuid": state["volume"], "connector": CONNECTOR}}
        attachment = world.call("POST", "/attachments", body)["attachment"]["id"]
        world.call("POST", f"/attachments/{attachment}/action", {"os-complete": None})
        return {**state, "attachment": attachment}

    def outcome(self, world, base, state):
        world.call("DELETE", f"/attachments/{state['attachment']}")
        return super().outcome(world, base, state)


class LiveSnapshot(Attached, CreateSnapshot):
    pass


class LiveExtend(Attached, Extend):
    def outcome(self, world, base, state):
        outcome = super().outcome(world, base, state)
        assert self.is_asked(world, base, state)
        return outcome


class UploadImage(Verb):
    """An image is made of a volume; a volume of that has its content."""

    def ask(self, world, base, state):
        state.setdefault("operations", world.count_operations())
        wanted = {"image_name": f"of-{state['volume']}", "disk_format": "qcow2", "container_format": "bare"}
        body = {"os-volume_upload_image": {**wanted, "force": True}}
        world.client.call("POST", f"/volumes/{state['volume']}/action", body)

    def is_asked(self, world, base, state):
        return world.count_operations() > state["operations"]

    def outcome(self, world, base, state):
        image = world.image_of(f"of-{state['volume']}")
        copy = world.made("volumes", size=1, name=fresh(), imageRef=image, volume_type="plain")
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        return super().outcome(world, base, state)


class LiveUpload(Attached, UploadImage):
    pass


class Restart(Attached):
    """Worker and export daemon die; what was attached can be reached again."""

    background = ("take_slot", "take_up", "restore_exports")

    def ask(self, world, base, state):
        world.kill_export_daemons()
        world.kill("worker")
        world.wait(lambda: self.is_reached(world, state))

    def again(self, world, base, state):
        pass

    def is_reached(self, world, state):
        info = world.call("GET", f"/attachments/{state['attachment']}")["attachment"]["connection_info"]
        with contextlib.suppress(OSError):
            with NbdClient(info["uri"]) as client:
                return client.read(len(PAYLOAD), 0) == PAYLOAD
        return False

    def outcome(self, world, base, state):
        world.wait(lambda: self.is_reached(world, state))
        return super().outcome(world, base, state)


class Rounds(Verb):
    """The worker says what it has room for."""

    background = ("report_pools",)

    def ask(self, world, base, state):
        before = world.reports()
        world.wait(lambda: world.reports() > before)

    def again(self, world, base, state):
        pass


class Upload:
    """An image gets its data; one whose upload was cut short gets it by another."""

    outcomes = {"active"}
    background = ()

    def __init__(self, name):
        self.name = name

    def prepare(self, world, base):
        return {"image": world.new_image()}

    def ask(self, world, base, state):
        world.upload(state["image"], PAYLOAD)

    def again(self, world, base, state):
        if world.image_status(state["image"]) != "active":
            self.ask(world, base, state)

    def outcome(self, world, base, state):
        world.wait(lambda: world.image_status(state["image"]) == "active")
        volume = world.made("volumes", size=1, name=fresh(), imageRef=state["image"], volume_type="plain")
        assert world.content(volume) == PAYLOAD_SHA
        world.remove("volumes", volume)
        return "active"

    def clean(self, world, base, state):
        pass


class PurgeOrphan(Verb):
    """What `doctor --fix` asks the owner for: an object without a row goes."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        world.forget(state["volume"])
        return state

    def ask(self, world, base, state):
        world.request_purge(self.backend, f"volume-{state['volume']}")

    def again(self, world, base, state):
        pass

    def outcome(self, world, base, state):
        return "done"  # that it is gone is what a look at the storage says

    def clean(self, world, base, state):
        pass


class ReconcileExport(Attached):
    """What `doctor --fix` asks the owner for: an attached volume is exported."""

    def ask(self, world, base, state):
        world.kill_export_daemons()
        world.request_flow("reconcile_export", state["volume"])

    def again(self, world, base, state):
        pass


class Undone:
    """A verb that fails, so that what was begun is undone; killed meanwhile, it fails again."""

    background = ()

    def __init__(self, name: str, verb: str, deed: Verb, status: str, kind: str = "volumes"):
        self.name, self.verb, self.deed, self.kind, self.outcomes = name, verb, deed, kind, {status}

    def prepare(self, world, base):
        return {**self.deed.prepare(world, base), "operations": world.count_operations()}

    def ask(self, world, base, state):
        world.fail(self.verb)
        try:
            self.deed.ask(world, base, state)
        except ServiceUnavailable:
            raise
        except BreezeblockError as error:
            if "has either erred" not in error.message:  # a storage's reasons are for the log
                raise

    def again(self, world, base, state):
        if world.count_operations() == state["operations"]:
            self.ask(world, base, state)

    def outcome(self, world, base, state):
        world.mend()
        if self.kind == "replication":
            return world.call("GET", f"/volumes/{state['volume']}/replication")["replication"]["status"]
        (found,) = self.found(world, state, self.kind)
        if self.verb not in ("delete_volume", "copy_image_to_volume"):
            assert world.content(state["volume"]) == PAYLOAD_SHA, "another content"
        return found["status"]

    def found(self, world, state, kind):
        listed = world.call("GET", f"/{kind}/detail?all_tenants=1&limit=1000")[kind]
        return [one for one in listed if state["volume"] in (one["id"], one.get("volume_id"))]

    def clean(self, world, base, state):
        for attachment in self.found(world, state, "attachments"):
            world.call("DELETE", f"/attachments/{attachment['id']}")
        for backup in self.found(world, state, "backups"):
            world.remove("backups", backup["id"])
        for kind in ("snapshots", "volumes"):
            for one in self.found(world, state, kind):
                world.call("POST", f"/{kind}/{one['id']}/action", {"os-force_delete": None})
                world.settle()
        assert is_gone(world, "volumes", state["volume"])


class DeleteAlone(Verb):
    """A volume with nothing hanging on it."""

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/volumes/{state['volume']}")


class UndoneFill(Create):
    """A create of an image whose bytes the storage does not take, neither into its cache nor into the volume."""

    def ask(self, world, base, state):
        world.fail("copy_image_to_volume")
        super().ask(world, base, state)

    def outcome(self, world, base, state):
        world.mend()
        return super().outcome(world, base, state)


UNDONE: list[Create | Undone] = [
    UndoneFill("undo-fill", "weak", "", lambda w, b: {"imageRef": w.image()}, outcomes=("error",)),
    Undone("undo-delete", "delete_volume", DeleteAlone("", "weak"), "error_deleting"),
    Undone("undo-extend", "extend_volume", Extend("", "weak"), "error_extending"),
    Undone("undo-snapshot", "create_snapshot", CreateSnapshot("", "weak"), "error", "snapshots"),
    Undone("undo-delete_snapshot", "delete_snapshot", DeleteSnapshot("", "weak"), "error_deleting", "snapshots"),
    Undone("undo-backup", "open_volume", CreateBackup("", "weak"), "error", "backups"),
    Undone("undo-restore", "copy_image_to_volume", RestoreBackup("", "weak"), "error_restoring"),
    Undone("undo-upload", "open_volume", LiveUpload("", "weak"), "in-use"),
    Undone("undo-connect", "initialize_connection", Connect("", "weak"), "error_attaching", "attachments"),
    Undone("undo-disconnect", "terminate_connection", Disconnect("", "weak"), "error_detaching", "attachments"),
    Undone("undo-refresh", "update_replica", RefreshReplica("", "weak"), "error", "replication"),
]


class Prefetch(Verb):
    """An image fetched into the cache for nobody yet."""

    def prepare(self, world, base):
        return {"image": world.image()}

    def ask(self, world, base, state):
        world.client.call("POST", "/image-cache", {"prefetch": {"image_id": state["image"], "backend": "here@sim"}})

    def is_asked(self, world, base, state):
        return bool(self.entries(world, state))

    def entries(self, world, state):
        return world.call("GET", f"/image-cache?image_id={state['image']}")["image_cache"]

    def outcome(self, world, base, state):
        (entry,) = self.entries(world, state)
        assert entry["status"] == "cached", entry
        assert world.content(entry["id"]) == PAYLOAD_SHA, "another content"
        return "done"

    def clean(self, world, base, state):
        for entry in self.entries(world, state):
            world.remove("image-cache", entry["id"])


class Evict(Prefetch):
    """What is cached is dropped, its volume with it."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        Prefetch.ask(self, world, base, state)
        world.settle()
        return state

    def ask(self, world, base, state):
        (entry,) = self.entries(world, state)
        world.client.call("DELETE", f"/image-cache/{entry['id']}")

    def is_asked(self, world, base, state):
        return not self.entries(world, state)

    def outcome(self, world, base, state):
        assert self.entries(world, state) == []
        return "done"


class Together:
    """Several volumes of an image that is not cached, asked for at once: all there, by one fill."""

    name = "cached-together"
    outcomes = {"available"}
    background = ()

    def prepare(self, world, base):
        return {"image": world.image(), "names": [fresh() for _ in range(4)]}

    def ask(self, world, base, state):
        for name in state["names"]:
            if world.find("volumes", name) is None:
                wanted = {"name": name, "size": 1, "imageRef": state["image"], "volume_type": "sim"}
                world.client.call("POST", "/volumes", {"volume": wanted})

    again = ask

    def outcome(self, world, base, state):
        for name in state["names"]:
            found = world.find("volumes", name)
            assert found["status"] == "available", found
            assert world.content(found["id"]) == PAYLOAD_SHA, "another content"
        (entry,) = Prefetch.entries(self, world, state)
        (fill,) = world.call("GET", f"/operations?resource_id={entry['id']}")["operations"]
        assert (fill["kind"], fill["state"]) == ("fill_image_cache", "succeeded")
        return "available"

    def clean(self, world, base, state):
        for name in state["names"]:
            world.remove("volumes", world.find("volumes", name)["id"])


def of_cached_image(world: World, base: Base) -> dict[str, Any]:
    image = world.image()
    filler = world.made("volumes", size=1, name=fresh(), imageRef=image, volume_type="sim")
    world.remove("volumes", filler)
    return {"imageRef": image}


ALL: list[Create | Verb | Upload | Undone | Together] = [
    Create("raw", "sim", EMPTY_SHA, lambda w, b: {}),
    Create("raw-dir", "dir", EMPTY_SHA, lambda w, b: {}),
    Create("snap", "sim", PAYLOAD_SHA, lambda w, b: {"snapshot_id": b.snapshots["sim"]}),
    Create("snap-dir", "dir", PAYLOAD_SHA, lambda w, b: {"snapshot_id": b.snapshots["dir"]}),
    Create("source_vol", "sim", PAYLOAD_SHA, lambda w, b: {"source_volid": b.volumes["sim"]}),
    Create("source_vol-dir", "dir", PAYLOAD_SHA, lambda w, b: {"source_volid": b.volumes["dir"]}),
    Create("source_replica", "sim", PAYLOAD_SHA, lambda w, b: {"source_replica": b.volumes["sim"]}),
    Create("source_replica-dir", "dir", PAYLOAD_SHA, lambda w, b: {"source_replica": b.volumes["dir"]}),
    Create("backup", "sim", PAYLOAD_SHA, lambda w, b: {"backup_id": b.backup}),
    Create("backup-dir", "dir", PAYLOAD_SHA, lambda w, b: {"backup_id": b.backup}),
    Create("driver_clone", "cloning", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image}),
    Create("driver_clone-dir", "dir", PAYLOAD_SHA, lambda w, b: {"imageRef": b.qcow2}),
    Create("image_volume", "sim", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image_volume}),
    Create("cached-fill", "sim", PAYLOAD_SHA, lambda w, b: {"imageRef": w.image()}),
    Create("cached-fill-dir", "dir", PAYLOAD_SHA, lambda w, b: {"imageRef": w.image()}),
    Create("cached-hit", "sim", PAYLOAD_SHA, of_cached_image),
    Together(),
    Prefetch("prefetch", "sim"),
    Evict("evict", "sim"),
    Create("download", "plain", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image}, size=2),
    Create("download-qcow2", "plain", PAYLOAD_SHA, lambda w, b: {"imageRef": b.qcow2}),
    Create("reschedule", "pair", EMPTY_SHA, lambda w, b: {}),
    Create("undo", "broken", EMPTY_SHA, lambda w, b: {}, outcomes=("error",)),
    Delete("delete", "sim"),
    Delete("delete-dir", "dir"),
    Extend("extend", "sim"),
    Extend("extend-dir", "dir"),
    CreateSnapshot("snapshot", "sim"),
    CreateSnapshot("snapshot-dir", "dir"),
    LiveSnapshot("snapshot-attached", "dir"),
    LiveExtend("extend-attached", "dir"),
    DeleteSnapshot("delete_snapshot", "sim"),
    DeleteSnapshot("delete_snapshot-dir", "dir"),
    CreateBackup("create_backup", "sim"),
    RestoreBackup("restore_backup", "sim"),
    RestoreBackup("restore_backup-dir", "dir"),
    DeleteBackup("delete_backup", "sim"),
    Connect("connect", "sim"),
    Connect("connect-dir", "dir"),
    Disconnect("disconnect", "sim"),
    Disconnect("disconnect-dir", "dir"),
    RefreshReplica("refresh_replica", "sim"),
    RefreshReplica("refresh_replica-dir", "dir"),
    RequestRefresh("request_refresh", "sim"),
    Restart("restart", "dir"),
    Rounds("rounds", "sim"),
    Upload("image_data"),
    UploadImage("upload_image", "sim"),
    LiveUpload("upload_image-attached", "dir"),
    PurgeOrphan("purge_orphan", "sim"),
    PurgeOrphan("purge_orphan-dir", "dir"),
    ReconcileExport("reconcile_export", "dir"),
    *UNDONE,
]
SCENARIOS = {one.name: one for one in ALL}
