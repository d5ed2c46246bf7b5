"""A transfer: the offer of a volume to whoever knows its key."""

import msgspec


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `transfers`; it goes when the offer is taken up or withdrawn. The key itself is kept nowhere."""

    id: str
    volume_id: str
    project_id: str
    """Whose volume it is: `source_project_id` in the API."""
    name: str | None = None
    salt: str
    crypt_hash: str
    """HMAC-SHA-256 of the key under the salt."""
    no_snapshots: bool = False
    """The volume's snapshots stay with their project."""
    created_at: str
