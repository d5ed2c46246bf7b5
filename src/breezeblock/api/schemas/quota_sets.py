"""Body of PUT /os-quota-sets/{project} (Cinder: `api/schemas/quotas.py`)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import MAX_INT, Text

Limit = Annotated[int, Meta(ge=-1, le=MAX_INT)]


class QuotaSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits to set; -1 is without limit. `tenant_id` and `force` are old clients', and change nothing."""

    volumes: Limit | None = None
    snapshots: Limit | None = None
    gigabytes: Limit | None = None
    backups: Limit | None = None
    backup_gigabytes: Limit | None = None
    per_volume_gigabytes: Limit | None = None
    groups: Limit | None = None
    tenant_id: Text | None = None
    force: Text | bool | None = None


UPDATE = envelope("quota_set", QuotaSet)
