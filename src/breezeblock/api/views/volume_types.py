"""What a volume type looks like (Cinder: `api/v3/views/types.py` and the type access extension)."""

from typing import NotRequired, TypedDict

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, Link
from breezeblock.db import tables
from breezeblock.model.volume_type import VolumeType

VISIBLE_SPECS = ("RESKEY:availability_zones", "multiattach", "replication_enabled")
"""The extra specs that everybody may see; the others tell of the storage, and are the administrators'."""

_c = tables.volume_types.c
COLUMNS = tuple(_c)


class TypeFields(TypedDict):
    """What is told of every type."""

    id: str
    name: str
    is_public: bool
    description: str | None


class ManagedType(TypeFields):
    """A type as its administrator changed it."""

    extra_specs: dict[str, str]


_Access = TypedDict("_Access", {"os-volume-type-access:is_public": bool})


class NewType(ManagedType, _Access):
    """A type that was made."""


_MaybeAccess = TypedDict("_MaybeAccess", {"os-volume-type-access:is_public": NotRequired[bool]})


class TypeDetail(TypeFields, _MaybeAccess):
    """A volume type. Its specs are for those whom policy tells them."""

    extra_specs: NotRequired[dict[str, str]]
    qos_specs_id: NotRequired[str | None]


class CreatedType(TypedDict):
    """A volume type that was made."""

    volume_type: NewType


class UpdatedType(TypedDict):
    """A volume type that was changed."""

    volume_type: ManagedType


class OneType(TypedDict):
    """A volume type."""

    volume_type: TypeDetail


class Types(Counted):
    """Volume types."""

    volume_types: list[TypeDetail]
    volume_type_links: NotRequired[list[Link]]


class ExtraSpecs(TypedDict):
    """The extra specs of a type."""

    extra_specs: dict[str, str | None]


class TypeAccess(TypedDict):
    """A project that may use a private type."""

    volume_type_id: str
    project_id: str


class TypeAccesses(TypedDict):
    """The projects that may use a private type."""

    volume_type_access: list[TypeAccess]


def managed(volume_type: VolumeType) -> ManagedType:
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

    def detail(self, volume_type: VolumeType) -> TypeDetail:
        """A type."""
        shown: TypeDetail = {
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
