"""The contract between Breezeblock and a storage: what a driver is asked, and what it promises.

The verbs and words are Cinder's (`cinder/interface/volume_driver.py`), so an author of a Cinder driver is at home.
They are typed: frozen records in, a `model_update` (or nothing) out.

Promises that hold for every verb:

* **It may be called twice.** A worker can die between any two lines, and the flow calls the verb again with the same
  arguments. A create finds what is already there *complete* and returns as if it had just made it; what it finds half
  made it removes or finishes. A delete of what is gone succeeds.
* **It publishes by one atomic act.** Whatever is visible under a `storage_name` is whole and on stable storage, and
  says what it was made of (its completion record). What is being built lies under another name.
* **It fails in kinds.** `BackendNotFound`, `BackendInUse`, `BackendOutOfSpace`, `BackendTransient`,
  `NotSupportedByBackend`; anything else is a `DriverError`. After any failure of a create nothing is left.
* **It can be stopped.** A verb that copies for more than a moment calls `copying.tell` after each piece; what that
  raises is a failure like any other, except that a `BaseException` leaves things as a crash would.
* **It blocks**, and is called from several threads at once, never twice at once for the same object.
* **It imports nothing** of api, services, flows, db or images: what fills a volume is passed in.

Sizes of volumes are GiB in records (`volume.size`), everything else is bytes. `tests/drivers` runs the conformance
suite (`breezeblock.drivers.conformance`) on every driver; that suite is the specification where words are not enough.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import msgspec

from breezeblock.model.image import Image
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import ModelUpdate, Volume

ConnectionInfo = dict[str, Any]
"""`{"driver_volume_type": str, "data": {...}}`, as os-brick and Cinder's API know it."""

Connector = dict[str, Any]
"""What a host says of itself to be connected: host, ip, initiator, nqn, …"""


def who_connects(connector: Connector) -> str:
    """What connectors are told apart by: the name of their host, or else its initiator."""
    return str(connector.get("host") or connector.get("initiator") or "unknown")


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver can do beyond the required verbs. The conformance suite checks each claim."""

    clone_image: bool = False
    """May make a volume of an image by itself (rung 1)."""
    replication: bool = False
    """Implements `Replicates`."""
    failover: bool = False
    """Implements `FailsOver`, with at least one target. Pools report these as `replication_targets`."""
    online_extend: bool = False
    """A volume may grow while it is attached."""
    multiattach: bool = False
    """Several connectors may write to a volume at once, and each reads what another has flushed."""
    thin: bool = True
    thick: bool = False
    shared: bool = False
    """Several processes may work on the storage at once, each on other volumes (`backend_slots`)."""
    consistent_group_snapshots: bool = False
    """Implements `SnapshotsGroups`. Pools report it as `consistent_group_snapshot_enabled`."""
    encryption: bool = False
    """Takes `rewrite` where it makes a volume of another, so that encrypted volumes can be re-keyed. Pools report it as
    `encryption_support`."""


class Extent(msgspec.Struct, frozen=True):
    """A run of bytes of a source: `data` false means it reads as zeros."""

    offset: int
    length: int
    data: bool


class BlockSource(Protocol):
    """Something that bytes are read from, such as a volume that is backed up."""

    size: int
    """Bytes."""

    def extents(self) -> Iterator[Extent]:
        """The whole of it in order, as runs of data and of zeros."""

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end."""


class BlockTarget(Protocol):
    """Something empty that reads as zeros, to be filled. Ranges never written stay holes."""

    size: int
    """Bytes."""
    uri: str
    """Where qemu-img writes to it with `-n -f raw`: a path, or a URI it knows."""
    kept: bytes | None
    """The last note of an earlier fill with the same content, which was killed: what it had written by then is here.
    None: the target reads as zeros."""

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`; raises `BackendOutOfSpace` when the storage is full."""

    def keep(self, note: bytes) -> None:
        """Put what is written so far on stable storage, and the note with it: a fill that is killed later goes on from
        here. A storage that cannot does nothing; then the next fill begins anew."""


class ReadableTarget(BlockTarget, Protocol):
    """A target that can be read while it is filled, by other threads too."""

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end. Raises `DriverError` once the target is given back."""


Fill = Callable[[BlockTarget], None]
"""Writes the content of a new volume. Raising leaves the volume unfilled; it may be called again after a crash."""

FillBehind = Callable[[ReadableTarget], None]
"""A `Fill` of a volume that is used already."""


class NbdSource(msgspec.Struct, frozen=True):
    """An export of an NBD server at a Unix socket, to be read. `size` is bytes, a multiple of 512."""

    socket: str
    export: str
    size: int


Rewrite = Callable[[bytes], bytes]
"""Answers the first `REWRITTEN_BYTES` of a new volume, given those of what it is made of: how a clone of an encrypted
volume gets a header under a key of its own. A driver applies it before it publishes the clone."""

REWRITTEN_BYTES = 2 << 20


class Driver(Protocol):
    """The required verbs. One object a backend, made by the entry point's `open_driver(settings)`."""

    capabilities: Capabilities

    def check_for_setup_error(self) -> None:
        """Look whether the storage can be used at all; called before all else, and again until it succeeds.

        Raises `ConfigError` or another error that says what to do: it is what administrators read of the backend.
        """

    def get_volume_stats(self) -> list[Pool]:
        """The pools with their capacities, measured now."""

    def create_volume(self, volume: Volume) -> ModelUpdate:
        """Make an empty volume that reads as zeros. A volume already filled stays as it is."""

    def delete_volume(self, volume: Volume) -> None:
        """Remove the volume and all half-made remains of it. Raises `BackendInUse` while it is exported.

        Its snapshots and clones live on, whatever the order of deletion.
        """

    def extend_volume(self, volume: Volume, new_size: int) -> None:
        """Grow to `new_size` GiB; already that large is done."""

    def create_snapshot(self, snapshot: Snapshot, volume: Volume) -> ModelUpdate:
        """Keep the volume's content of this moment; constant time; also while it is exported."""

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """Remove the snapshot; volumes made of it live on."""

    def create_volume_from_snapshot(
        self, volume: Volume, snapshot: Snapshot, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """Make a volume of a snapshot, at `volume.size`, which is at least the snapshot's.

        `rewrite`, here and below, is given only where `Capabilities.encryption` is claimed.
        """

    def create_cloned_volume(self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None) -> ModelUpdate:
        """Make a volume of another, at `volume.size`, which is at least the source's."""

    def copy_image_to_volume(self, volume: Volume, content: str, fill: Fill) -> None:
        """Fill a volume that `create_volume` made, and put it on stable storage.

        `content` names what it is filled with (such as `image:<id>:<checksum>`) and goes into the completion record:
        called again with the same `content` after success, it does not fill again; after a broken fill, or with other
        content, it starts from a volume that reads as zeros.
        """

    def open_volume(self, volume: Volume | Snapshot) -> AbstractContextManager[BlockSource]:
        """Read a volume or snapshot that nobody writes to, for a backup or a copy elsewhere."""

    def initialize_connection(self, volume: Volume, connector: Connector) -> ConnectionInfo:
        """Export the volume if it is not, and say how `connector` opens it."""

    def terminate_connection(self, volume: Volume, connector: Connector | None) -> None:
        """Withdraw the export for this connector, or for all (None). Not exported is done.

        Whoever else is connected stays so, under a driver that claims `multiattach`.
        """

    def ensure_export(self, volume: Volume) -> None:
        """Called at start for each attached volume: the export is there again, clients that are connected stay so."""

    def list_objects(self) -> Iterator[str]:
        """Every `storage_name` the storage holds, half-made ones with a trailing `.tmp`."""


@runtime_checkable
class Closes(Protocol):
    """Optional: an open driver holds what the death of its process would release, such as a lock or a connection."""

    def close(self) -> None:
        """Release it. Nothing is asked of the driver after this."""


@runtime_checkable
class ClonesImages(Protocol):
    """Optional: makes a volume of an image by itself, in constant time (rung 1 of the image ladder)."""

    def clone_image(self, volume: Volume, image: Image, path: str | None) -> tuple[ModelUpdate, bool]:
        """`(model_update, True)` with the volume made at `volume.size`, or raises `NotSupportedByBackend(reason)`.

        `path` is the image's file on this machine where the image service knows one; its header has been inspected.
        `image.locations` and `image.direct_url` are as the image service tells them.
        `({}, False)` is understood as a decline too, as Cinder's drivers answer it.
        """


@runtime_checkable
class Hydrates(Protocol):
    """Optional: a volume that is used before its content has come, read from a source as long as that lasts.

    What clients write is kept by the storage from the first byte on, and comes before what the source has. The source
    may go away and come back: reads then wait, fail, and work again, and nothing written is lost. Until it is hydrated
    such a volume can be exported, extended and deleted; what else is asked of it raises `BackendInUse`.
    """

    def create_hydrating_volume(self, volume: Volume, content: str, source: NbdSource) -> ModelUpdate:
        """Make a volume at `volume.size` that reads as `source` does and behind its end as zeros, in constant time.

        `source` need not be served yet. `content` is as in `copy_image_to_volume`.
        """

    def hydrate_volume(self, volume: Volume, fill: FillBehind) -> None:
        """Have `fill` write all that the source has; then the volume needs the source no more, whoever is connected.

        The target has the source's size. It holds zeros, or what an earlier `fill` for this volume wrote there, and is
        readable until this returns. When `fill` raises, the volume is what it was. Hydrated already is done.
        """

    def fence_volume(self, volume: Volume) -> None:
        """Cut all clients from a volume whose source proved to be wrong, and never export it again.

        What they wrote is kept until the volume is deleted.
        """

    def list_hydrating(self) -> Iterator[str]:
        """The `storage_name` of every volume that needs its source, as `Examinable` promises."""


class AdoptedFile(msgspec.Struct, frozen=True):
    """A qcow2 file that stands alone and passed the header gate; both sizes are bytes."""

    virtual_size: int
    length: int


@runtime_checkable
class AdoptsImages(Protocol):
    """Optional: a volume that stands on an image's own file, which the storage turns into something of its own later.

    The image is never opened but with its format said outright. The volume, and all that is made of it, is like any other
    from the beginning.
    """

    def adopt_image(self, volume: Volume, content: str, file: AdoptedFile, fill: Fill) -> None:
        """As `copy_image_to_volume`, but `fill` writes the `file.length` bytes of the image's file, which becomes what the
        volume reads; behind `file.virtual_size` it reads as zeros."""

    def settle_image(self, storage_name: str) -> None:
        """Let whatever reads the image that was adopted for the volume `storage_name` read something of the storage's own
        that has the same content, whoever is connected; then the image's file goes.

        May be killed, and goes on where it was. The volume may be gone; settled already, or nobody reads it: done.
        """

    def adopted_below(self, volume: Volume) -> str | None:
        """What `settle_image` takes for the image that this volume stands on; None where it stands on none.

        A driver whose `clone_image` lets volumes stand on the image service's own file tells of that one too.
        """

    def list_adopted(self) -> Iterator[str]:
        """The `storage_name` of every volume that an image was adopted for which is not settled, as `Examinable`
        promises; the volume itself may be gone."""


@runtime_checkable
class RevertsToSnapshots(Protocol):
    """Optional: gives a volume the content again that its snapshot kept. Without it the content is copied."""

    def revert_to_snapshot(self, volume: Volume, snapshot: Snapshot) -> None:
        """Put the snapshot's content in the place of the volume's, by one act; both have the same size.

        Nobody is connected, or this raises `BackendInUse`. The snapshot stays. Called again it does the same again.
        """


@runtime_checkable
class MigratesVolumes(Protocol):
    """Optional: moves a volume by itself, where the storage of both places is one. Without it the content is copied."""

    def migrate_volume(self, volume: Volume, host: str) -> ModelUpdate:
        """Move the volume to the pool `host` (`host@backend#pool`), by one act; there already is done.

        Raises `NotSupportedByBackend(reason)` where it cannot, and leaves the volume as it is.
        """


@runtime_checkable
class TellsChanges(Protocol):
    """Optional: tells where two snapshots of a volume differ, so that an incremental backup reads only that."""

    def list_changed_extents(self, since: Snapshot, snapshot: Snapshot) -> Iterator[Extent]:
        """Runs in order, outside of which `snapshot` reads as `since` does; what is behind the end of `since` and reads
        as zeros need not be told. `data` false means that a run reads as zeros now.

        Whatever became of the volume in between. More than differs may be told, less never: where it cannot tell it
        raises `NotSupportedByBackend(reason)`, where one of them is not there `BackendNotFound`.
        """


Reference = dict[str, str]
"""How an administrator names what lies on the storage and belongs to nobody, such as `{"source-name": NAME}`."""


class Manageable(msgspec.Struct, frozen=True, kw_only=True):
    """Something on the storage that may be managed. `size` is GiB, enough to hold it."""

    reference: Reference
    size: int
    safe: bool
    reason: str | None = None
    """Why it is not safe."""


@runtime_checkable
class Manages(Protocol):
    """Optional: takes what lies on the storage and belongs to nobody as volumes and snapshots, and lets go of these.

    A reference that is no reference raises `InvalidInput`, one of nothing `BackendNotFound`, one of what cannot be taken
    `NotSupportedByBackend(reason)`.
    """

    def manage_existing_get_size(self, thing: Volume | Snapshot, reference: Reference) -> int:
        """GiB that `thing` has to have to hold what the reference names. Changes nothing."""

    def manage_existing(self, volume: Volume, reference: Reference) -> ModelUpdate:
        """Make what the reference names the volume, at `volume.size`; it is found by the reference no more."""

    def unmanage(self, volume: Volume) -> None:
        """Forget the volume and leave its content, to be found by `source-name` `volume.storage_name`. Gone is done.

        Raises `BackendInUse` while it is exported. `list_objects` does not tell of what nobody manages.
        """

    def get_manageable_volumes(self) -> Iterator[Manageable]:
        """What may become a volume. Changes nothing."""

    def manage_existing_snapshot(self, snapshot: Snapshot, reference: Reference) -> ModelUpdate:
        """As `manage_existing`, at `snapshot.volume_size`."""

    def unmanage_snapshot(self, snapshot: Snapshot) -> None:
        """As `unmanage`."""

    def get_manageable_snapshots(self) -> Iterator[Manageable]:
        """What may become a snapshot. Changes nothing."""


@runtime_checkable
class Examinable(Protocol):
    """Optional: what `breezeblock doctor` compares with the rows, beside `list_objects`.

    These verbs and `list_objects` change nothing, and need no `check_for_setup_error`: they are also called in a process
    that does not own the storage, while the owner works on it.
    """

    def size_of(self, storage_name: str) -> int:
        """Bytes that the object really has, measured at its files. Raises `BackendNotFound`."""

    def list_exports(self) -> Iterator[str]:
        """The `storage_name` of every volume that is exported now."""

    def list_replicas(self) -> Iterator[str]:
        """The `storage_name` of every volume that there is a replica of, half-made ones with a trailing `.tmp`."""


@runtime_checkable
class SnapshotsGroups(Protocol):
    """Optional: snapshots of several volumes at one moment, as if the power had failed for all of them at once."""

    def create_group_snapshot(self, pairs: Sequence[tuple[Snapshot, Volume]]) -> dict[str, ModelUpdate]:
        """Keep the content of all the volumes of one moment; the model_update of each snapshot by its id.

        Called again after all of them were taken it returns; where only some are there it removes those, and takes all
        of a new moment. After a failure none is left.
        """


@runtime_checkable
class Replicates(Protocol):
    """Optional: keeps a replica of volumes elsewhere (Ocata's replication)."""

    def update_replica(self, volume: Volume) -> ModelUpdate:
        """Bring the replica in step with the volume; says so in `replicated_at` and `replication_status`."""

    def delete_replica(self, volume: Volume) -> None:
        """Remove the replica; gone is done."""

    def create_replica_test_volume(
        self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """Make a volume of the replica of `source`, as it was when last in step."""


@runtime_checkable
class FailsOver(Driver, Examinable, Replicates, Protocol):
    """Optional: works on where its replicas lie when the storage is lost, and comes back (Cinder's replication v2.1).

    There are two places, the storage itself and the target, with the same names in both. One is asked by every verb, and
    holds the volumes; the other holds what `update_replica` brought there, and is touched by the verbs of `Replicates`
    alone: it may be gone. After a failover the replicas of the target's volumes are what the storage itself has, so that
    `update_replica` brings those in step, whatever they were.
    """

    def replication_targets(self) -> list[str]:
        """The `backend_id` of each place that it may fail over to, as configured; none where there is none."""

    def use_backend(self, backend_id: str | None) -> None:
        """Have every verb ask the target of that name from now on, or the storage itself (None).

        Nobody is in a verb meanwhile; `check_for_setup_error` comes next. Touches nothing of either place beyond letting
        go of what `Closes` releases. Raises `InvalidReplicationTarget` for a name that is not configured.
        """

    def promote_replica(self, volume: Volume) -> ModelUpdate:
        """Make what was the volume's replica, at the place that is asked now, the volume, as it was when last in step.

        A volume that is there is left as it is. Raises `BackendNotFound` where there is neither.
        """
