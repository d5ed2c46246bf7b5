"""An image that was verified at a place has its hashes noted for there, and for nowhere else."""

from collections.abc import Iterator

import pytest

from breezeblock.db import tables, verified_images
from breezeblock.db.connect import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the tables."""
    database = Database(database_url)
    with database.begin() as connection:
        tables.metadata.create_all(connection)
    yield database
    database.close()


def test_a_note_is_of_one_image_place_and_hash(database: Database) -> None:
    with database.begin() as connection:
        assert verified_images.noted(connection, "i", "here") is None
        verified_images.remember(connection, "i", "here", "md5:1")
        verified_images.remember(connection, "i", "there", "md5:2")
        verified_images.remember(connection, "i", "here", "md5:3")
    with database.read() as connection:
        assert verified_images.noted(connection, "i", "here") == "md5:3"
        assert verified_images.noted(connection, "i", "there") == "md5:2"
        assert verified_images.noted(connection, "other", "here") is None
