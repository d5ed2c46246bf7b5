"""A message that tells a user what failed: Cinder's actions, details and texts (`cinder/message/message_field.py`)."""

import msgspec

ACTIONS = {
    "001": "schedule allocate volume",
    "002": "attach volume",
    "003": "copy volume to image",
    "004": "update attachment",
    "005": "copy image to volume",
    "006": "unmanage volume",
    "007": "extend volume",
    "008": "create volume from backend storage",
    "009": "create snapshot",
    "010": "delete snapshot",
    "011": "update snapshot",
    "012": "update snapshot metadata",
    "013": "create backup",
    "014": "delete backup",
    "015": "restore backup",
    "016": "reimage volume",
}

DETAILS = {
    "001": "An unknown error occurred.",
    "002": "Driver is not initialized at present.",
    "003": "Could not find any available weighted backend.",
    "004": "Failed to upload volume to image at backend.",
    "005": "Volume's attach mode is invalid.",
    "006": "Not enough quota resource for operation.",
    "007": "Image used for creating volume exceeds available space.",
    "008": "Unmanaging encrypted volumes is not supported.",
    "009": "Compute service failed to extend volume.",
    "010": "Volume Driver failed to extend volume.",
    "011": "Image signature verification failed.",
    "012": "Driver failed to create the volume.",
    "013": "Snapshot failed to create.",
    "014": "Volume snapshot update metadata failed.",
    "015": "Snapshot is busy.",
    "016": "Snapshot failed to delete.",
    "017": "Backup status is invalid.",
    "018": "Backup service is down.",
    "019": "Failed to get backup device from the volume service.",
    "020": "Backup driver failed to create backup.",
    "021": "Failed to attach volume.",
    "022": "Failed to detach volume.",
    "023": "Cleanup of temporary volume/snapshot failed.",
    "024": "Backup failed to schedule. Service not found for creating backup.",
    "025": "Backup driver failed to delete backup.",
    "026": "Backup driver failed to restore backup.",
    "027": "Volume status is invalid.",
    "028": "Compute service failed to reimage volume.",
    "029": "The image disk format must be the same as the volume format for the volume type you are requesting.",
    "030": "Incremental backup not possible, forcing full backup.",
}

UNKNOWN = "001"
"""The detail where nothing more is known."""

RESOURCE_TYPES = {"volume": "VOLUME", "snapshot": "VOLUME_SNAPSHOT", "backup": "VOLUME_BACKUP"}
"""What a message is about, by what an operation is about."""


class UserMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `messages`."""

    id: str
    project_id: str
    request_id: str | None = None
    resource_type: str
    resource_uuid: str | None = None
    event_id: str
    action_id: str
    detail_id: str
    message_level: str = "ERROR"
    created_at: str
    expires_at: str
    """Until when it is kept at least."""

    @property
    def text(self) -> str:
        """What a person reads."""
        action = ACTIONS.get(self.action_id, "unknown action")
        return f"{action}:{DETAILS.get(self.detail_id, DETAILS[UNKNOWN])}"
