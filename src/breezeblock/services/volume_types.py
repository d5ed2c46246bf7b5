"""Use cases of volume types: make, change, delete, set and remove extra specs, say who may use it
(administrators)."""

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import default_types, quotas, tables, type_encryptions, volume_types
from breezeblock.db.connect import Database
from breezeblock.errors import Conflict, InvalidInput, InvalidState, NotFound
from breezeblock.model import clock
from breezeblock.model.volume_type import VolumeType
from breezeblock.scheduling.quota import BY_TYPE


def create_type(
    database: Database, *, name: str, description: str | None, is_public: bool, extra_specs: dict[str, str]
) -> VolumeType:
    """Make a type. Raises `Conflict` where the name is taken."""
    made = VolumeType(
        id=str(uuid.uuid4()),
        name=name,
        description=description,
        is_public=is_public,
        extra_specs=extra_specs,
        created_at=clock.now(),
    )
    with database.begin() as connection:
        volume_types.insert(connection, made)
    return made


def update_type(database: Database, type_id: str, **values: Any) -> VolumeType:
    """Change name, description or is_public. Raises `NotFound`, `Conflict` where the name is taken."""
    with database.begin() as connection:
        before = of_id(connection, type_id)
        namesake = volume_types.find(connection, values["name"]) if "name" in values else None
        if namesake is not None and namesake.name == values["name"] and namesake.id != type_id:
            raise Conflict(f"Volume Type {values['name']} already exists.")
        volume_types.update(connection, type_id, **values)
        after = of_id(connection, type_id)
        if after.name != before.name:
            quotas.rename(connection, dict(zip(_limits_of(before), _limits_of(after), strict=True)))
        return after


def delete_type(database: Database, settings: Settings, type_id: str) -> None:
    """Delete a type. Raises `InvalidState` while volumes have it, `InvalidInput` for the default one."""
    with database.begin() as connection:
        volume_type = of_id(connection, type_id)
        if volume_type.name == settings.default_volume_type:
            raise _is_default(type_id)
        if default_types.of_type(connection, type_id):
            raise _is_default(type_id)
        check_unused(connection, type_id, "Target volume type is still in use.")
        type_encryptions.remove(connection, type_id)
        quotas.forget(connection, _limits_of(volume_type))
        volume_types.remove(connection, type_id)


def set_extra_specs(database: Database, type_id: str, specs: dict[str, str]) -> VolumeType:
    """Add extra specs, or change their values. Raises `InvalidState` while volumes have the type."""
    with database.begin() as connection:
        volume_type = of_id(connection, type_id)
        check_unused(connection, type_id, "Volume Type is currently in use.")
        volume_types.update(connection, type_id, extra_specs=volume_type.extra_specs | specs)
        return of_id(connection, type_id)


def remove_extra_spec(database: Database, type_id: str, key: str) -> None:
    """Remove an extra spec. Raises `NotFound`, `InvalidState` while volumes have the type."""
    with database.begin() as connection:
        volume_type = of_id(connection, type_id)
        check_unused(connection, type_id, "Volume Type is currently in use.")
        if key not in volume_type.extra_specs:
            raise NotFound(f"Volume Type {type_id} has no extra specs with key {key}.")
        kept = {name: value for name, value in volume_type.extra_specs.items() if name != key}
        volume_types.update(connection, type_id, extra_specs=kept)


def projects_of(database: Database, type_id: str) -> list[str]:
    """The projects that a private type is there for. Raises `NotFound`, also for a public one."""
    with database.read() as connection:
        if volume_types.get(connection, type_id).is_public:
            raise NotFound("Access list not available for public volume types.")
        return volume_types.projects_of(connection, type_id)


def add_project(database: Database, type_id: str, project_id: str) -> None:
    """Let a project use a private type. Raises `NotFound`, `InvalidInput` for a public one, `Conflict` where it may."""
    with database.begin() as connection:
        _private(connection, type_id)
        if project_id in volume_types.projects_of(connection, type_id):
            raise Conflict(f"Volume type access for {type_id} / {project_id} combination already exists.")
        volume_types.add_project(connection, type_id, project_id)


def remove_project(database: Database, type_id: str, project_id: str) -> None:
    """Let a project not use a private type any more. Raises `NotFound`, `InvalidInput` for a public one."""
    with database.begin() as connection:
        _private(connection, type_id)
        if not volume_types.remove_project(connection, type_id, project_id):
            raise NotFound(f"Volume type access not found for {type_id} / {project_id} combination.")


def _private(connection: Connection, type_id: str) -> None:
    if of_id(connection, type_id).is_public:
        raise InvalidInput("Invalid volume type: Type access modification is not applicable to public volume type.")


def _limits_of(volume_type: VolumeType) -> list[str]:
    return [f"{part}_{volume_type.name}" for part in BY_TYPE]


def _is_default(type_id: str) -> InvalidInput:
    return InvalidInput(f"The volume type {type_id} is a default volume type and cannot be deleted.")


def of_id(connection: Connection, type_id: str) -> VolumeType:
    """The type of that id, its row locked until the transaction ends. Raises `NotFound`."""
    table = tables.volume_types
    connection.execute(sa.select(table.c.id).where(table.c.id == type_id).with_for_update())
    volume_type = volume_types.find(connection, type_id)
    if volume_type is None or volume_type.id != type_id:
        raise NotFound(f"Volume type {type_id} could not be found.")
    return volume_type


def check_unused(connection: Connection, type_id: str, message: str) -> None:
    """Raises `InvalidState` with this message while volumes have the type."""
    if volume_types.in_use(connection, type_id):
        raise InvalidState(message)


def check_size(volume_type: VolumeType, size: int) -> None:
    """Whether a volume of this type may have so many GiB (`provisioning:min_vol_size`, `max_vol_size`).

    Raises `InvalidInput`. A limit that is no number says nothing.
    """
    least, most = (volume_type.extra_specs.get(f"provisioning:{limit}_vol_size", "") for limit in ("min", "max"))
    if least.isdigit() and size < int(least):
        raise InvalidInput(
            f"Invalid input received: Specified volume size of '{size}' is less than the minimum required size of "
            f"'{least}' for volume type '{volume_type.name}'."
        )
    if most.isdigit() and size > int(most):
        raise InvalidInput(
            f"Invalid input received: Specified volume size of '{size}' is greater than the maximum allowable size of "
            f"'{most}' for volume type '{volume_type.name}'."
        )
