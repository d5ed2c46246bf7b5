"""Tables and records are one thing told twice; they must not drift apart."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from breezeblock.db import migrate, tables
from breezeblock.db.connect import Database
from breezeblock.db.image_cache import CacheEntry
from breezeblock.db.operations import FlowRequest
from breezeblock.errors import ConfigError
from breezeblock.model.attachment import Attachment
from breezeblock.model.backup import Backup
from breezeblock.model.group import Group
from breezeblock.model.group_snapshot import GroupSnapshot
from breezeblock.model.group_type import GroupType
from breezeblock.model.image import Image
from breezeblock.model.operation import Operation
from breezeblock.model.pool import Pool
from breezeblock.model.qos_specs import QosSpecs
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.transfer import Transfer
from breezeblock.model.user_message import UserMessage
from breezeblock.model.volume import MODEL_UPDATE_FIELDS, Volume
from breezeblock.model.volume_type import VolumeType


@pytest.mark.parametrize(
    ("table", "record"),
    [
        (tables.volumes, Volume),
        (tables.snapshots, Snapshot),
        (tables.volume_types, VolumeType),
        (tables.group_types, GroupType),
        (tables.user_messages, UserMessage),
        (tables.qos_specs, QosSpecs),
        (tables.attachments, Attachment),
        (tables.backups, Backup),
        (tables.transfers, Transfer),
        (tables.groups, Group),
        (tables.group_snapshots, GroupSnapshot),
        (tables.pools, Pool),
        (tables.images, Image),
        (tables.operations, Operation),
        (tables.flow_requests, FlowRequest),
        (tables.image_cache_entries, CacheEntry),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_columns_are_the_records_fields_in_order(table, record):
    assert tuple(column.name for column in table.columns) == record.__struct_fields__


def test_a_drivers_model_update_has_columns():
    assert {column.name for column in tables.volumes.columns} >= MODEL_UPDATE_FIELDS


def test_several_may_upgrade_at_once(database_url):
    """As workers do that are started together with --upgrade."""
    databases = [Database(database_url) for _ in range(4)]
    barrier = threading.Barrier(len(databases))

    def upgrade(database):
        barrier.wait()
        migrate.upgrade(database)

    with ThreadPoolExecutor(len(databases)) as threads:
        list(threads.map(upgrade, databases))
    assert all(migrate.is_current(database) for database in databases)
    for database in databases:
        database.close()


def test_upgrade_makes_the_tables_once(database_url):
    database = Database(database_url)
    assert not migrate.is_current(database)
    migrate.upgrade(database)
    migrate.upgrade(database)
    assert migrate.is_current(database)
    with database.read() as connection:
        names = [row.name for row in connection.execute(tables.volume_types.select())]
    assert names == ["__DEFAULT__"]
    database.close()


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_an_empty_database_gets_what_the_migrations_make(database_url):
    """Made at once or step by step: alembic sees no difference to the tables (on SQLite it cannot read expressions)."""
    database = Database(database_url)
    with database.begin() as connection:
        migrate._migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    assert migrate.is_current(database)
    database.close()


def test_a_process_that_waits_for_the_tables_sees_them_come(database_url):
    database = Database(database_url)
    coming = threading.Timer(0.2, migrate.upgrade, [database])
    coming.start()
    migrate.wait_until_current(database)
    assert migrate.is_current(database)
    coming.join()
    database.close()


def test_tables_that_do_not_come_are_told(database_url, monkeypatch):
    monkeypatch.setattr(migrate, "WAIT_SECONDS", 0.05)
    database = Database(database_url)
    with pytest.raises(ConfigError, match="breezeblock db upgrade"):
        migrate.wait_until_current(database)
    database.close()
