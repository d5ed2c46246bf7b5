"""Keep replicas in step with their volumes."""

from breezeblock.db import volumes
from breezeblock.drivers.contract import Replicates
from breezeblock.errors import NotSupportedByBackend
from breezeblock.flows.engine import Flow, flow, message_for_user


def abandon(flow: Flow, error: BaseException) -> None:
    """The replica is as it was when last in step; the next refresh tries again."""
    with flow.ending("failed", message_for_user(error)) as connection:
        volumes.update(connection, flow.arguments["volume_id"], replication_status="error")


@flow("refresh_replica", abandon=abandon)
def refresh_replica(flow: Flow) -> None:
    """Bring a volume's replica in step; the row says when."""
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
    if volume is None or volume.status not in {"available", "in-use"}:
        return
    with flow.explained("update_replica", volume=volume.id) as result:
        if not isinstance(flow.driver, Replicates):
            raise NotSupportedByBackend(f"Backend {flow.backend.name} keeps no replicas.")
        result["model_update"] = update = flow.driver.update_replica(volume)
    with flow.ending() as connection:
        volumes.update(connection, volume.id, **volumes.model_update_values(update))
