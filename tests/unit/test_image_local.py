"""The local image store: what is uploaded is inspected, kept whole, shown to whom it may be shown, and removed."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.context import RequestContext
from breezeblock.db import tables
from breezeblock.db.connect import Database
from breezeblock.db.images import ImageQuery
from breezeblock.errors import Conflict, Forbidden, ImageUnacceptable, InvalidInput, NotFound, OverQuota
from breezeblock.images.local import LocalCatalog
from breezeblock.model.image import Image
from tests.unit import image_files

ME = RequestContext(user_id="u", project_id="mine")
OTHER = RequestContext(user_id="o", project_id="theirs")
ADMIN = RequestContext(user_id="a", project_id="admins", is_admin=True)
DATA = os.urandom(3 << 20)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A fresh SQLite database."""
    database = Database(f"sqlite:///{tmp_path / 'db'}")
    with database.begin() as connection:
        tables.metadata.create_all(connection)
    yield database
    database.close()


@pytest.fixture
def store(database: Database, tmp_path: Path) -> LocalCatalog:
    """An empty store."""
    return LocalCatalog(database, tmp_path / "images")


def raw(store: LocalCatalog, context: RequestContext = ME, **fields: object) -> Image:
    """A raw image with data."""
    image = store.create(context, **{"disk_format": "raw", "container_format": "bare", **fields})  # type: ignore[arg-type]
    return store.upload(context, image.id, iter([DATA[:1000], DATA[1000:]]))


def files(tmp_path: Path) -> list[str]:
    """What the store's directory holds."""
    return sorted(path.name for path in (tmp_path / "images").iterdir())


def read(store: LocalCatalog, image_id: str, offset: int = 0) -> bytes:
    """An image's data."""
    with store.open(image_id, offset) as pieces:
        return b"".join(pieces)


def test_the_life_of_an_image(store: LocalCatalog, tmp_path: Path) -> None:
    image = store.create(
        ME, name="VSA", disk_format="raw", container_format="bare", tags=["t"], properties={"os_type": "Linux"}
    )
    assert (image.status, image.owner, image.visibility, image.size) == ("queued", "mine", "shared", None)
    assert store.local_path(image.id) is None
    with pytest.raises(NotFound, match="no data"), store.open(image.id):
        pass
    image = store.upload(ME, image.id, [DATA])
    assert (image.status, image.size, image.virtual_size) == ("active", len(DATA), len(DATA))
    assert image.checksum == hashlib.md5(DATA).hexdigest()
    assert (image.os_hash_algo, image.os_hash_value) == ("sha512", hashlib.sha512(DATA).hexdigest())
    assert store.get(ME, image.id) == image
    assert store.find(ME, "VSA") == [image]
    assert read(store, image.id) == DATA
    assert read(store, image.id, 2_000_000) == DATA[2_000_000:]
    path = store.local_path(image.id)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.delete(ME, image.id)
    assert files(tmp_path) == []
    with pytest.raises(NotFound):
        store.get(ME, image.id)
    with pytest.raises(NotFound):
        store.delete(ME, image.id)


def test_a_reader_keeps_a_deleted_image(store: LocalCatalog) -> None:
    image = raw(store)
    with store.open(image.id) as pieces:
        store.delete(ME, image.id)
        assert b"".join(pieces) == DATA


@pytest.mark.parametrize("offset", [0, 1, 1 << 20, (5 << 20) + 3, (9 << 20) - 1, (9 << 20) + 5])
def test_zeros_take_no_room(store: LocalCatalog, offset: int) -> None:
    data = DATA[: 1 << 20] + bytes(4 << 20) + DATA[:12345] + bytes((4 << 20) - 12345 + 7)
    image = store.create(ME, disk_format="raw", container_format="bare")
    image = store.upload(ME, image.id, (data[at : at + 65_536] for at in range(0, len(data), 65_536)))
    assert (image.size, image.checksum) == (len(data), hashlib.md5(data).hexdigest())
    path = store.local_path(image.id)
    assert path is not None
    assert path.stat().st_blocks * 512 < 2 << 20
    assert path.read_bytes() == data
    assert read(store, image.id, offset) == data[offset:]


def test_a_refused_image_leaves_nothing(store: LocalCatalog, tmp_path: Path) -> None:
    bad = image_files.create(tmp_path / "bad", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "-u", "1M")
    image = store.create(ME, disk_format="qcow2", container_format="bare")
    with pytest.raises(ImageUnacceptable, match="backing"):
        store.upload(ME, image.id, [bad.read_bytes()])
    assert files(tmp_path) == []
    assert store.get(ME, image.id) == image
    good = image_files.create(tmp_path / "good", "-f", "qcow2", "1M")
    assert store.upload(ME, image.id, [good.read_bytes()]).virtual_size == 1 << 20


def test_an_empty_upload_is_refused(store: LocalCatalog) -> None:
    image = store.create(ME, disk_format="raw", container_format="bare")
    with pytest.raises(ImageUnacceptable, match="no content"):
        store.upload(ME, image.id, [])


def test_a_broken_upload_leaves_nothing(store: LocalCatalog, tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield DATA
        raise ConnectionResetError("gone")

    image = store.create(ME, disk_format="raw", container_format="bare")
    with pytest.raises(ConnectionResetError):
        store.upload(ME, image.id, pieces())
    assert files(tmp_path) == []
    assert store.get(ME, image.id).status == "queued"


def test_a_full_store_says_so(store: LocalCatalog, tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield DATA
        raise OSError(28, "No space left on device")

    image = store.create(ME, disk_format="raw", container_format="bare")
    with pytest.raises(OverQuota, match="no room"):
        store.upload(ME, image.id, pieces())
    assert files(tmp_path) == []


def test_data_come_once(store: LocalCatalog) -> None:
    image = store.create(ME, disk_format="raw", container_format="bare")

    def pieces() -> Iterator[bytes]:
        with pytest.raises(Conflict, match="getting them"):
            store.upload(ME, image.id, [b"other"])
        yield DATA

    store.upload(ME, image.id, pieces())
    with pytest.raises(Conflict, match="already"):
        store.upload(ME, image.id, [b"other"])
    assert read(store, image.id) == DATA


def test_an_image_deleted_while_its_data_come_stays_deleted(store: LocalCatalog, tmp_path: Path) -> None:
    image = store.create(ME, disk_format="raw", container_format="bare")

    def pieces() -> Iterator[bytes]:
        yield DATA
        store.delete(ME, image.id)

    with pytest.raises(Conflict, match="deleted"):
        store.upload(ME, image.id, pieces())
    assert files(tmp_path) == []


def test_data_need_formats(store: LocalCatalog) -> None:
    with pytest.raises(InvalidInput, match="needs a disk_format"):
        store.upload(ME, store.create(ME, name="n").id, [DATA])


def test_what_an_ended_process_left_is_cleared(store: LocalCatalog, database: Database, tmp_path: Path) -> None:
    kept, hidden = raw(store), raw(store, os_hidden=True)
    torn = store.create(ME, disk_format="raw", container_format="bare")
    with database.begin() as connection:
        connection.execute(tables.images.update().where(tables.images.c.id == torn.id).values(status="saving"))
    for name in (torn.id, f"{torn.id}.upload", "11111111-1111-4111-8111-111111111111"):
        (tmp_path / "images" / name).write_bytes(b"rest")
    (tmp_path / "images" / "README").write_text("somebody else's")
    store.recover()
    assert files(tmp_path) == sorted([kept.id, hidden.id, "README"])
    assert store.get(ME, torn.id).status == "queued"
    assert store.upload(ME, torn.id, [DATA]).status == "active"


def test_an_upload_in_progress_is_not_cleared(store: LocalCatalog, database: Database, tmp_path: Path) -> None:
    image = store.create(ME, disk_format="raw", container_format="bare")

    def pieces() -> Iterator[bytes]:
        yield DATA
        # another process starts
        LocalCatalog(database, tmp_path / "images").recover()

    assert store.upload(ME, image.id, pieces()).status == "active"
    store.recover()
    assert read(store, image.id) == DATA


def test_an_upload_that_vanished_is_cleared(store: LocalCatalog, database: Database) -> None:
    image = store.create(ME, disk_format="raw", container_format="bare")
    with database.begin() as connection:
        connection.execute(tables.images.update().values(status="saving"))
    store.recover()
    assert store.upload(ME, image.id, [DATA]).status == "active"


def test_who_sees_and_changes_what(store: LocalCatalog) -> None:
    private, public = raw(store, visibility="private"), raw(store, ADMIN, visibility="public", name="p")
    community = raw(store, visibility="community")
    assert store.get(ADMIN, private.id) == private
    with pytest.raises(NotFound):
        store.get(OTHER, private.id)
    with pytest.raises(NotFound):
        store.delete(OTHER, private.id)
    assert store.get(OTHER, community.id) == community
    assert [image.id for image in store.list_images(OTHER, ImageQuery())] == [public.id]
    for verb in (
        lambda: store.delete(OTHER, public.id),
        lambda: store.update(OTHER, public.id, {"name": "x"}),
        lambda: store.upload(OTHER, public.id, [DATA]),
        lambda: store.update(ME, private.id, {"visibility": "public"}),
        lambda: store.create(ME, visibility="public"),
    ):
        with pytest.raises(Forbidden):
            verb()
    assert store.update(ADMIN, private.id, {"visibility": "public"}).visibility == "public"
    assert store.update(ME, private.id, {"visibility": "public", "name": "still"}).name == "still"


def test_updates(store: LocalCatalog) -> None:
    image = raw(store)
    changes = {"name": None, "min_disk": 3, "tags": ["x"], "properties": {"k": "v"}, "protected": True}
    changed = store.update(ME, image.id, changes)
    assert {name: getattr(changed, name) for name in changes} == changes
    assert changed.updated_at > image.updated_at
    with pytest.raises(Forbidden, match="protected"):
        store.delete(ME, image.id)
    with pytest.raises(Forbidden, match="formats"):
        store.update(ME, image.id, {"disk_format": "qcow2"})
    assert store.update(ME, image.id, {"disk_format": "raw", "protected": False}).disk_format == "raw"
    store.delete(ME, image.id)


@pytest.mark.parametrize(
    "fields",
    [
        {"disk_format": "floppy"},
        {"container_format": "box"},
        {"visibility": "secret"},
        {"min_disk": -1},
        {"min_ram": "much"},
        {"tags": "x"},
        {"properties": {"k": 1}},
        {"status": "active"},
        {"owner": "theirs"},
        {"image_id": "../../etc/passwd"},
        {"image_id": "C0FFEE00-0000-4000-8000-000000000001"},
    ],
)
def test_wrong_fields_are_refused(store: LocalCatalog, fields: dict[str, object]) -> None:
    with pytest.raises((InvalidInput, ImageUnacceptable)) as refused:
        store.create(ME, **fields)  # type: ignore[arg-type]
    assert refused.value.status == 400


def test_an_id_may_be_chosen_once(store: LocalCatalog) -> None:
    chosen = "c0ffee00-0000-4000-8000-000000000001"
    assert store.create(ME, image_id=chosen).id == chosen
    with pytest.raises(Conflict, match=chosen):
        store.create(OTHER, image_id=chosen)


@pytest.mark.parametrize("image_id", ["../secret", "..", "", "a/b", "\0"])
def test_no_id_leads_out_of_the_store(store: LocalCatalog, tmp_path: Path, image_id: str) -> None:
    (tmp_path / "secret").write_text("secret")
    assert store.local_path(image_id) is None
    with pytest.raises(NotFound):
        store.get(ADMIN, image_id)
    with pytest.raises(NotFound), store.open(image_id):
        pass


def test_wrong_lists_are_refused(store: LocalCatalog) -> None:
    with pytest.raises(InvalidInput, match="sorted by"):
        store.list_images(ME, ImageQuery(sort=[("virtual", "asc")]))
    with pytest.raises(InvalidInput, match="sorted by"):
        store.list_images(ME, ImageQuery(sort=[("name", "up")]))
    with pytest.raises(InvalidInput, match="marker"):
        store.list_images(ME, ImageQuery(marker="x"))
