"""Use cases of operations: look at them, cancel one."""

from breezeblock.context import RequestContext
from breezeblock.db import operations
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidState, NotFound
from breezeblock.model.operation import Operation
from breezeblock.services.hydration import HYDRATE

NOT_CANCELLED = frozenset((HYDRATE, "settle_image"))
"""What goes on behind volumes that are used already."""
WITH_MEMBERS = frozenset({"create_group_from_src", "create_group_snapshot", "delete_group", "delete_group_snapshot"})


def get_operation(database: Database, context: RequestContext, operation_id: str) -> Operation:
    """One operation. Raises `NotFound`, also for another project's."""
    with database.read() as connection:
        operation = operations.get(connection, operation_id)
    if operation is None or context.own_project not in {None, operation.project_id}:
        raise NotFound(f"Operation {operation_id} could not be found.")
    return operation


def awaited(database: Database, found: list[Operation]) -> dict[str, Operation]:
    """The operations that these wait for, by id: whose they are does not matter, as only how far they are is told."""
    ids = {one.waits_for for one in found if one.waits_for is not None}
    if not ids:
        return {}
    with database.read() as connection:
        return operations.by_id(connection, ids)


def cancel_operation(database: Database, context: RequestContext, operation_id: str) -> None:
    """Ask an operation to stop; its flow undoes what it did. Raises `InvalidState` for one that has ended."""
    operation = get_operation(database, context, operation_id)
    with database.begin() as connection:
        if not operations.is_pending(connection, operation_id):
            raise InvalidState(f"Operation {operation_id} has already ended: {operation.state}.")
        if operation.kind in NOT_CANCELLED:
            raise InvalidState(
                f"Operation {operation_id} cannot be cancelled: its volume is used already; delete the volume instead."
            )
        if operation.kind in WITH_MEMBERS:
            raise InvalidState(
                f"Operation {operation_id} cannot be cancelled: it waits for those of its members; cancel one of them."
            )
        operations.request_cancel(connection, operation_id)
