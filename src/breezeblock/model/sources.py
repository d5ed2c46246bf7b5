"""What a volume is made of: the spec that the API settles and the create flow dispatches on.

The six tags are those of Cinder's `volume_spec['type']`: raw, snap, source_vol, source_replica, image, backup.
"""

import msgspec


class Raw(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="raw"):
    """An empty volume."""


class Snap(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="snap"):
    """A copy of a snapshot."""

    snapshot_id: str


class SourceVol(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="source_vol"):
    """A clone of a volume."""

    source_volid: str


class SourceReplica(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="source_replica"):
    """A copy of the replica of a volume (Ocata's replication)."""

    source_volid: str


class FromImage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """The content of an image."""

    image_id: str


class FromBackup(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="backup"):
    """The content of a backup."""

    backup_id: str


VolumeSpec = Raw | Snap | SourceVol | SourceReplica | FromImage | FromBackup


def tag_of(spec: VolumeSpec) -> str:
    """The spec's tag, one of Cinder's six words."""
    return str(spec.__struct_config__.tag)
