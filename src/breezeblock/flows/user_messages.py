"""What users are told when a flow failed: Cinder's action and detail, by the flow and its error."""

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import user_messages
from breezeblock.errors import (
    BackendInUse,
    DriverError,
    ImageUnacceptable,
    NoValidBackend,
    OverQuota,
    SignatureRefused,
)
from breezeblock.model.operation import Operation
from breezeblock.model.user_message import RESOURCE_TYPES, UNKNOWN

_OF_FLOWS = {
    "connect_volume": ("002", "021"),
    "create_backup": ("013", "020"),
    "create_snapshot": ("009", "013"),
    "create_volume": ("008", "012"),
    "delete_backup": ("014", "025"),
    "delete_snapshot": ("010", "016"),
    "extend_volume": ("007", "010"),
    "reimage_volume": ("016", UNKNOWN),
    "restore_backup": ("015", "026"),
    "upload_image": ("003", "004"),
}
"""The action of each flow that Cinder has one for, and the detail of a failure of its storage."""

_OF_ERRORS: dict[type[BaseException], str] = {NoValidBackend: "003", OverQuota: "006"}


def tell(connection: Connection, settings: Settings, operation: Operation, error: BaseException) -> None:
    """Write the message of a flow that failed; of some there is none, as with Cinder: nobody waits for a deletion."""
    if operation.kind not in _OF_FLOWS or operation.resource_type not in RESOURCE_TYPES:
        return
    action, detail = _OF_FLOWS[operation.kind]
    if isinstance(error, ImageUnacceptable):
        action = "005" if operation.kind == "create_volume" else action
        detail = "011" if isinstance(error, SignatureRefused) else "029"
    elif operation.kind == "delete_snapshot" and isinstance(error, BackendInUse):
        detail = "015"
    elif operation.kind == "create_volume" and not isinstance(error, DriverError):
        detail = UNKNOWN
    detail = next((known for kind, known in _OF_ERRORS.items() if isinstance(error, kind)), detail)
    user_messages.write(connection, settings, operation, action, detail)
