"""Actions that give a volume another content, type or place: POST /volumes/{id}/action."""

from typing import TypedDict

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.volume_moves import ClusterMigrate, CompleteMigration, Migrate, Reimage, Retype, Revert
from breezeblock.errors import InvalidInput
from breezeblock.services import migration
from breezeblock.services import reimage as reimaging
from breezeblock.services import revert as reverting


def revert(call: Call) -> None:
    """revert (3.40), to the latest snapshot."""
    body: Revert = call.body
    reverting.revert_to_snapshot(call.database, call.context, call.id, body.snapshot_id)


def reimage(call: Call) -> None:
    """os-reimage (3.68); of a reserved volume only by a rule of its own."""
    body: Reimage = call.body
    reserved_too = flag(body.reimage_reserved, "reimage_reserved")
    if reserved_too:
        call.must("volume:reimage_reserved")
    reimaging.reimage_volume(
        call.database, call.catalog, call.context, call.id, body.image_id, reserved_too=reserved_too
    )


def retype(call: Call) -> None:
    """os-retype."""
    body: Retype = call.body
    migration.retype_volume(call.database, call.settings, call.context, call.id, body.new_type, body.migration_policy)


def migrate(call: Call) -> None:
    """os-migrate_volume (administrators). There are no clusters here, so none of them has an available service."""
    body: Migrate | ClusterMigrate = call.body
    cluster = body.cluster if isinstance(body, ClusterMigrate) else None
    copied = flag(body.force_host_copy, "force_host_copy")
    flag(body.lock_volume, "lock_volume")  # a volume is locked in any case; this holds it to be a boolean
    if bool(cluster) == bool(body.host):
        message = (
            "One and only one of cluster and host must be set." if call.version >= 16 else "Host field is missing."
        )
        raise InvalidInput(f"Invalid input received: {message}")
    place = body.host or str(cluster)
    migration.migrate_volume(call.database, call.context, call.id, place, force_host_copy=copied)


class KeptVolume(TypedDict):
    """Which of the two volumes of a migration is kept."""

    save_volume_id: str


def complete_migration(call: Call) -> KeptVolume:
    """os-migrate_volume_completion (administrators)."""
    body: CompleteMigration = call.body
    error = flag(body.error, "error")
    kept = migration.complete_migration(call.database, call.context, call.id, body.new_volume, error)
    return {"save_volume_id": kept}
