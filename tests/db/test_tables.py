"""Tables and records are one thing told twice; they must not drift apart."""

import pytest

from breezeblock.db import migrate, tables
from breezeblock.db.connect import Database
from breezeblock.db.image_cache import CacheEntry
from breezeblock.db.operations import FlowRequest
from breezeblock.db.version import is_current_file
from breezeblock.model.attachment import Attachment
from breezeblock.model.backup import Backup
from breezeblock.model.image import Image
from breezeblock.model.operation import Operation
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import MODEL_UPDATE_FIELDS, Volume
from breezeblock.model.volume_type import VolumeType


@pytest.mark.parametrize(
    ("table", "record"),
    [
        (tables.volumes, Volume),
        (tables.snapshots, Snapshot),
        (tables.volume_types, VolumeType),
        (tables.attachments, Attachment),
        (tables.backups, Backup),
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


def test_upgrade_makes_the_tables_once(database_url, tmp_path):
    database = Database(database_url)
    assert not migrate.is_current(database)
    migrate.upgrade(database)
    migrate.upgrade(database)
    assert migrate.is_current(database)
    with database.read() as connection:
        names = [row.name for row in connection.execute(tables.volume_types.select())]
    assert names == ["__DEFAULT__"]
    database.close()
    if database.is_sqlite:
        assert is_current_file(tmp_path / "breezeblock.db")


def test_a_file_that_is_no_database_is_not_current(tmp_path):
    (tmp_path / "file").write_text("nothing")
    assert not is_current_file(tmp_path / "file")
    assert not is_current_file(tmp_path / "absent")
