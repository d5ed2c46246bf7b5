"""Bodies of PUT /os-quota-sets/{project} and /os-quota-class-sets/{class} (Cinder: `api/schemas/quotas.py`).

The keys are checked against the volume types that there are, which a schema does not know.
"""

from typing import Annotated, Any, TypedDict

from msgspec import Meta

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import MAX_INT
from breezeblock.api.shapes import since
from breezeblock.errors import InvalidInput


class UsageQuery(TypedDict, total=False):
    """GET /os-quota-sets/{id}: with what is in use."""

    usage: bool


class LimitsQuery(TypedDict, total=False):
    """GET /limits: those of another project, for administrators."""

    project_id: Annotated[str, since(39)]
    tenant_id: Annotated[str, since(39)]


UPDATE = envelope("quota_set", Annotated[dict[str, Any], Meta(min_length=1)])
UPDATE_CLASS = envelope("quota_class_set", dict[str, Any])

NOT_A_LIMIT = {"tenant_id", "id"}
"""Keys of a quota set that old clients send, and that change nothing."""


def limit(value: Any, name: str) -> int:
    """A limit, also as text; -1 is without one. Raises `InvalidInput`."""
    try:
        found = int(str(value))
    except ValueError:
        raise InvalidInput(f"{name} must be an integer.") from None
    if not -1 <= found <= MAX_INT:
        bound = ">= -1" if found < -1 else f"<= {MAX_INT}"
        raise InvalidInput(f"{name} must be {bound}")
    return found
