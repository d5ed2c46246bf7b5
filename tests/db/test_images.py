"""The queries on images answer the same on SQLite and PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.db import images, tables
from breezeblock.db.connect import Database
from breezeblock.db.images import SORT_KEYS, ImageQuery
from breezeblock.model.image import Image, ImageLocation


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the table of images."""
    database = Database(database_url)
    with database.begin() as connection:
        tables.metadata.create_all(connection)
    yield database
    database.close()


def image(number: int, **fields: Any) -> Image:
    """An image whose id and times tell its number."""
    at = f"2026-01-01T00:00:{number:02}.000000"
    return Image(
        **{
            "id": f"00000000-0000-4000-8000-{number:012}",
            "owner": "mine",
            "created_at": at,
            "updated_at": at,
            **fields,
        }
    )


def add(database: Database, *new: Image) -> None:
    """Insert images."""
    with database.begin() as connection:
        for one in new:
            images.insert(connection, one)


def numbers(database: Database, query: ImageQuery, project_id: str | None = None) -> list[int]:
    """The numbers of the images a query finds, in order."""
    with database.read() as connection:
        return [int(one.id[-12:]) for one in images.find(connection, query, project_id)]


def test_an_image_comes_back_as_it_was(database: Database) -> None:
    first = image(
        1,
        name="ü",
        size=1 << 40,
        tags=["a", 'b"c'],
        properties={"os_type": "Linux"},
        locations=[ImageLocation(url="file:///x", metadata={"store": "s"})],
    )
    add(database, first)
    with database.read() as connection:
        assert images.get(connection, first.id) == first
        assert images.get(connection, "nobody") is None


def test_an_id_is_used_once(database: Database) -> None:
    add(database, image(1))
    with pytest.raises(sa.exc.IntegrityError):
        add(database, image(1))


def test_filters(database: Database) -> None:
    add(
        database,
        image(1, name="a", status="queued", disk_format="raw", container_format="bare", size=5, tags=["x", "y"]),
        image(2, name="A", disk_format="qcow2", size=9, tags=["X"], properties={"os": "Linux", "k": 'a"b%_'}),
        image(3, name=None, visibility="public", owner="theirs", protected=True, properties={"os": "linux"}),
        image(4, os_hidden=True),
    )
    found = {
        (1, 2, 3): ImageQuery(),
        (4,): ImageQuery(os_hidden=True),
        (1, 2, 3, 4): ImageQuery(os_hidden=None),
        (1,): ImageQuery(name="a"),
        (2,): ImageQuery(tags=["X"]),
        (3,): ImageQuery(properties={"os": "linux"}),
    }
    also = {
        (1,): ImageQuery(status="queued", disk_format="raw", container_format="bare", tags=["x", "y"]),
        (2,): ImageQuery(properties={"k": 'a"b%_', "os": "Linux"}),
        (3,): ImageQuery(protected=True),
    }
    more = {
        (3,): ImageQuery(visibility="public", owner="theirs"),
        (2,): ImageQuery(size_min=6, size_max=9),
        (1, 3): ImageQuery(ids=[image(1).id, image(3).id, "other"]),
        (): ImageQuery(tags=["x", "z"]),
    }
    for table in (found, also, more):
        for expected, query in table.items():
            assert sorted(numbers(database, query)) == list(expected), query


def test_what_a_project_sees(database: Database) -> None:
    add(
        database,
        image(1, visibility="private"),
        image(2, owner="theirs", visibility="private"),
        image(3, owner="theirs", visibility="shared"),
        image(4, owner="theirs", visibility="public"),
        image(5, owner="theirs", visibility="community"),
        image(6, visibility="community"),
    )
    assert sorted(numbers(database, ImageQuery(), "mine")) == [1, 4, 6]
    assert sorted(numbers(database, ImageQuery(visibility="community"), "mine")) == [5, 6]
    assert sorted(numbers(database, ImageQuery(visibility="all"), "mine")) == [1, 4, 6]
    assert sorted(numbers(database, ImageQuery(), None)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("key", SORT_KEYS)
def test_pages_join_to_the_whole(database: Database, key: str, direction: str) -> None:
    for number in range(1, 8):
        # names and sizes that are missing or equal make the pages' borders hard
        name = None if number % 3 == 0 else f"name{number % 2}"
        add(database, image(number, name=name, size=None if number % 2 else number // 3))
    sort = [(key, direction), ("name", "asc")]
    whole = numbers(database, ImageQuery(sort=sort))
    assert sorted(whole) == [1, 2, 3, 4, 5, 6, 7]
    pages: list[int] = []
    while page := numbers(database, ImageQuery(sort=sort, limit=2, marker=image(pages[-1]).id if pages else None)):
        pages += page
    assert pages == whole


def test_newest_first_by_default(database: Database) -> None:
    add(database, image(2), image(3), image(1))
    assert numbers(database, ImageQuery()) == [3, 2, 1]


def test_changes_are_swaps(database: Database) -> None:
    add(database, image(1, status="queued"))
    with database.begin() as connection:
        assert not images.update(connection, image(1).id, {"status": "active"}, status=["saving"])
        assert images.update(connection, image(1).id, {"tags": ["t"], "status": "saving"}, status=["queued", "x"])
        found = images.get(connection, image(1).id)
        assert found is not None
        assert (found.status, found.tags) == ("saving", ["t"])


def test_a_protected_image_is_not_removed(database: Database) -> None:
    add(database, image(1, protected=True), image(2))
    with database.begin() as connection:
        assert not images.delete(connection, image(1).id)
        assert images.delete(connection, image(2).id)
        assert not images.delete(connection, image(2).id)
