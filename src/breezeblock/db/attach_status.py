"""A volume's status as its attachments make it."""

from sqlalchemy.engine import Connection

from breezeblock.db import attachments, moves, volumes


def settle(connection: Connection, volume_id: str) -> None:
    """Set the volume's status and attach_status to what its attachments say, as Cinder's `volume_utils` does.

    attached > attaching > reserved; without any the volume is available. The status of a volume that is being extended,
    backed up or the like is left to whoever ends that; its attach_status is set all the same.
    """
    present = {one.attach_status for one in attachments.of_volume(connection, volume_id)}
    if "attached" in present:
        move, to, attach_status = "attach_done", None, "attached"
    elif "attaching" in present:
        move, to, attach_status = "attach", None, "attaching"
    elif present:
        move, to, attach_status = "reserve", None, "reserved"
    else:
        move, to, attach_status = "detach_done", "available", "detached"
    if not moves.try_move(connection, "volume", volume_id, move, to, attach_status=attach_status):
        volumes.update(connection, volume_id, attach_status=attach_status)
