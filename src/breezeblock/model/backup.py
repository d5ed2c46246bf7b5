"""A backup of a volume, kept outside its storage."""

import msgspec

SERVICE = "cinder.backup.drivers.breezeblock.DirectoryBackupDriver"
"""Names the format of backups in exported records. Clients expect a name of this form; Cinder has no such driver."""


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `backups`. `size` is the volume's in GiB, `object_count` the number of stored chunks."""

    id: str
    project_id: str
    user_id: str
    volume_id: str
    snapshot_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    description: str | None = None
    status: str
    size: int
    container: str | None = None
    object_count: int = 0
    service: str = SERVICE
    service_metadata: str | None = None
    """Where it lies in the store (`backups.repository.Place`); None where a release before 2 made it."""
    fail_reason: str | None = None
    restore_volume_id: str | None = None
    availability_zone: str | None = None
    host: str | None = None
    """`host@backend` of the worker that made it and can read it."""
    volume_type_id: str | None = None
    volume_bootable: bool = False
    image_metadata: dict[str, str] = {}
    volume_metadata: dict[str, str] = {}
    """What a volume restored from it gets as its metadata."""
    metadata: dict[str, str] = {}
    data_timestamp: str | None = None
    base_kept: bool = False
    """Whether the snapshot that it was read from is kept on the storage, so that the next one need read only changes."""
    encryption_key_id: str | None = None
    """Of a key of its own, by which what it holds of an encrypted volume is opened."""
    created_at: str
    updated_at: str | None = None
