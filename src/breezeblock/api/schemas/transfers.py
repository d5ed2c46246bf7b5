"""Bodies of the calls on transfers (Cinder: `api/schemas/volume_transfer.py`)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import Flag, Uuid

Name = Annotated[str, Meta(pattern=r"\A\s*\S(.|\n){0,254}\Z", max_length=255)]
"""Text that is not blank."""


class TransferCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /os-volume-transfer, and /volume-transfers before 3.55."""

    volume_id: Uuid
    name: Name | None = None


class TransferCreateWithSnapshots(TransferCreate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /volume-transfers from 3.55 on."""

    no_snapshots: Flag = False


class TransferAccept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST …/{id}/accept."""

    auth_key: str | int


CREATE = envelope("transfer", TransferCreate)
CREATE_BY_VERSION = {0: CREATE, 55: envelope("transfer", TransferCreateWithSnapshots)}
ACCEPT = envelope("accept", TransferAccept)
