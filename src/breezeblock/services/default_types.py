"""Use cases of default types: which type a project's volumes have where none is named (administrators)."""

from breezeblock.db import default_types, volume_types
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.services.volume_types import of_id


def set_default(database: Database, project_id: str, id_or_name: str) -> str:
    """Set the default type of a project; its id. Raises `InvalidInput` where there is no such type, as Cinder does."""
    with database.begin() as connection:
        found = volume_types.find(connection, id_or_name)
        if found is None:
            raise InvalidInput(f"Volume type {id_or_name} could not be found.")
        of_id(connection, found.id)  # nobody deletes it meanwhile
        default_types.put(connection, project_id, found.id)
    return found.id


def get_default(database: Database, project_id: str) -> str:
    """The id of a project's own default type. Raises `NotFound` where it has none."""
    with database.read() as connection:
        found = default_types.find(connection, project_id)
    if found is None:
        raise NotFound(f"Default type for project {project_id} not found.")
    return found


def unset_default(database: Database, project_id: str) -> None:
    """Let a project have the default that everybody has; unset already is done."""
    with database.begin() as connection:
        default_types.remove(connection, project_id)
