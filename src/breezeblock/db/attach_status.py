"""A volume's status as its attachments make it."""

from sqlalchemy.engine import Connection

from breezeblock.db import attachments, moves


def settle(connection: Connection, volume_id: str) -> None:
    """Set the volume's status and attach_status to what its attachments say, as Cinder's `volume_utils` does.

    attached > attaching > reserved; without any the volume is available. A volume in another status is left alone.
    """
    present = {one.attach_status for one in attachments.of_volume(connection, volume_id)}
    if "attached" in present:
        moves.try_move(connection, "volume", volume_id, "attach_done", attach_status="attached")
    elif "attaching" in present:
        moves.try_move(connection, "volume", volume_id, "attach", attach_status="attaching")
    elif present:
        moves.try_move(connection, "volume", volume_id, "reserve", attach_status="reserved")
    else:
        moves.try_move(connection, "volume", volume_id, "detach_done", "available", attach_status="detached")
