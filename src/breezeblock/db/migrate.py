"""Bring a database to this release's tables (alembic)."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.db.connect import Database
from breezeblock.db.version import HEAD
from breezeblock.model import clock

DEFAULT_TYPE_ID = "00000000-0000-4000-8000-000000000010"


def is_current(database: Database) -> bool:
    """Whether the tables are this release's; costs one query."""
    with database.engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none() == HEAD


def upgrade(database: Database) -> None:
    """Make or change the tables as needed, and the default volume type. Done already is done."""
    if is_current(database):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _make_default_type(connection)


def _make_default_type(connection: Any) -> None:
    from breezeblock.db.tables import volume_types

    if connection.execute(sa.select(volume_types.c.id).where(volume_types.c.name == "__DEFAULT__")).first() is None:
        connection.execute(
            volume_types.insert(),
            {
                "id": DEFAULT_TYPE_ID,
                "name": "__DEFAULT__",
                "description": "Default Volume Type",
                "created_at": clock.now(),
            },
        )
