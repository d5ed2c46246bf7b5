"""What a volume type looks like (Cinder: `api/v3/views/types.py` and the type access extension)."""

from typing import Any

from breezeblock.api.call import Call
from breezeblock.db import tables
from breezeblock.model.volume_type import VolumeType

VISIBLE_SPECS = ("RESKEY:availability_zones", "multiattach", "replication_enabled")
"""The extra specs that everybody may see; the others tell of the storage, and are the administrators'."""

_c = tables.volume_types.c
COLUMNS = tuple(_c)


def managed(volume_type: VolumeType) -> dict[str, Any]:
    """What update answers, and create with `os-volume-type-access:is_public`: an administrator's, with all specs."""
    return {
        "id": volume_type.id,
        "name": volume_type.name,
        "is_public": volume_type.is_public,
        "description": volume_type.description,
        "extra_specs": volume_type.extra_specs,
    }


class TypeView:
    """The view for one show or list."""

    def __init__(self, call: Call) -> None:
        self._specs = call.may("volume_extension:access_types_extra_specs")
        self._all_specs = call.may("volume_extension:types_extra_specs:read_sensitive")
        self._access = call.may("volume_extension:volume_type_access")
        self._qos = call.may("volume_extension:access_types_qos_specs_id")

    def detail(self, volume_type: VolumeType) -> dict[str, Any]:
        """A type."""
        shown: dict[str, Any] = {
            "id": volume_type.id,
            "name": volume_type.name,
            "is_public": volume_type.is_public,
            "description": volume_type.description,
        }
        if self._access:
            shown["os-volume-type-access:is_public"] = volume_type.is_public
        if self._specs:
            shown["extra_specs"] = self.specs(volume_type)
        if self._qos:
            shown["qos_specs_id"] = volume_type.qos_specs_id
        return shown

    def specs(self, volume_type: VolumeType) -> dict[str, str]:
        """The extra specs that the caller may see."""
        if self._all_specs:
            return volume_type.extra_specs
        return {key: volume_type.extra_specs[key] for key in VISIBLE_SPECS if key in volume_type.extra_specs}
