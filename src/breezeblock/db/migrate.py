"""Bring a database to this release's tables (alembic)."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db.connect import Database
from breezeblock.db.tables import group_types, metadata, volume_types
from breezeblock.errors import ConfigError, DatabaseUnavailable
from breezeblock.model import clock

HEAD = "0013"
"""The newest migration."""

DEFAULT_TYPE_ID = "00000000-0000-4000-8000-000000000010"

DEFAULT_GROUP_TYPE = {
    "id": "00000000-0000-4000-8000-000000000011",
    "name": "default_cgsnapshot_type",
    "description": "Default group type for migrating cgsnapshot",
    "is_public": True,
    "group_specs": {"consistent_group_snapshot_enabled": "<is> True"},
}
"""The type of the groups that Cinder's consistency groups are."""

LOOK_SECONDS = 0.02
RETRY_SECONDS = 0.2
WAIT_SECONDS = 60.0

Answer = TypeVar("Answer")


def is_current(database: Database) -> bool:
    """Whether the tables are this release's; costs one query."""
    with database.read() as connection:
        return _version(connection) == HEAD


def wait_until_current(database: Database) -> None:
    """Wait for the process that brings the tables up, and for the database. Raises `ConfigError` when it does not come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not until_reached(lambda: is_current(database), deadline):
        if time.monotonic() > deadline:
            raise ConfigError("The database has not the tables of this release; run: breezeblock db upgrade")
        time.sleep(LOOK_SECONDS)


def upgrade(database: Database) -> None:
    """Make or change the tables as needed, and the default volume type. Done already is done, also by another process."""
    deadline = time.monotonic() + WAIT_SECONDS
    if not until_reached(lambda: is_current(database), deadline):
        until_reached(lambda: _upgrade(database), deadline)


def _upgrade(database: Database) -> None:
    with database.begin() as connection:
        if not database.is_sqlite:  # which has one writer at a time by itself
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('breezeblock.upgrade', 0))"))
        version = _version(connection)
        if version is None:
            _make_tables(connection)
        elif version != HEAD:
            _migrate(connection)


def until_reached(call: Callable[[], Answer], deadline: float) -> Answer:
    """What `call` answers, once the database can be reached: it may be starting, as this process is.

    Raises `DatabaseUnavailable` when it cannot at the `deadline`, in seconds of the monotonic clock.
    """
    while True:
        try:
            return call()
        except DatabaseUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _make_tables(connection: Connection) -> None:
    """An empty database gets all tables at once, as the migrations would make them, and alembic's mark of the newest."""
    metadata.create_all(connection)
    connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:version)"), {"version": HEAD})
    connection.execute(
        volume_types.insert(),
        {
            "id": DEFAULT_TYPE_ID,
            "name": "__DEFAULT__",
            "description": "Default Volume Type",
            "created_at": clock.now(),
        },
    )
    connection.execute(group_types.insert(), {**DEFAULT_GROUP_TYPE, "created_at": clock.now()})


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
