"""Actions that give a volume another content, type or place: POST /volumes/{id}/action."""

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.volume_moves import Reimage, Revert
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
