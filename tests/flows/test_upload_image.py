"""An upload's flow: taken up again, cancelled, failed and undone; of a volume in use, one moment of it."""

import threading
import time

import msgspec
import pytest
import sqlalchemy as sa

from breezeblock.context import RequestContext
from breezeblock.db import operations, tables
from breezeblock.errors import BackendTransient, Conflict, NotFound, ServiceUnavailable
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import upload_image as upload_flow
from breezeblock.images.content import open_file
from breezeblock.images.inspect import inspect
from breezeblock.images.local import LocalCatalog
from breezeblock.services import attachments, volumes
from breezeblock.services import operations as operation_services
from breezeblock.services.uploads import UploadImage, upload_image
from tests.cloud import ADMIN, MEMBER, Cloud

CONF = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = "
GIB = 1 << 30


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path):
    """One driver on SQLite, the other on PostgreSQL."""
    url = request.getfixturevalue("postgres_url") if request.param == "simulated" else None
    cloud = Cloud(tmp_path / "data", CONF + request.param, url)
    cloud.images = Slow(cloud.database, cloud.settings.data_dir / "images")
    cloud.backend = msgspec.structs.replace(cloud.backend, images=cloud.images)
    yield cloud
    cloud.check_pairs()
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


class Slow(LocalCatalog):
    """The local store, which can be held after it took the first bytes of an image."""

    held, holding = threading.Event(), threading.Event()

    def upload(self, context, image_id, pieces):
        return super().upload(context, image_id, Held(pieces, self) if self.held.is_set() else pieces)


class Held:
    def __init__(self, pieces, store):
        self._pieces, self._store, self.length = pieces, store, pieces.length

    def __iter__(self):
        for piece in self._pieces:
            yield piece
            self._store.holding.set()
            deadline = time.monotonic() + 60
            while self._store.held.is_set():
                assert time.monotonic() < deadline
                self._pieces._report(1, 2)  # as the next piece would
                time.sleep(0.01)


@pytest.fixture
def held(cloud):
    """Uploads begin, and go on when this is cleared."""
    cloud.images.holding.clear()
    cloud.images.held.set()
    yield cloud.images.held
    cloud.images.held.clear()


def write(cloud, volume, content, offset=0):
    cloud.driver.copy_image_to_volume(volume, f"test:{time.monotonic_ns()}", lambda to: to.pwrite(content, offset))


def asked(cloud, volume, **more):
    request = UploadImage(**{"image_name": "img", "disk_format": "qcow2", **more})
    return upload_image(cloud.database, cloud.settings, cloud.images, MEMBER, volume.id, request).image.id


def content(cloud, image_id):
    """The beginning of the disk that an image holds, as a volume made of it has it."""
    volume = cloud.made(size=1, image_ref=image_id)
    assert volume.status == "available", cloud.settled(volume.id).message
    with cloud.driver.open_volume(volume) as source:
        return source.pread(10, 0)


def gone(cloud, image_id):
    with pytest.raises(NotFound):
        cloud.images.get(ADMIN, image_id)
    return not list((cloud.settings.data_dir / "images").iterdir())


def upload_of(cloud, volume):
    (operation,) = (one for one in cloud.operations(volume.id) if one.kind == "upload_image")
    return operation


def test_a_volume_in_use_is_taken_at_one_moment(cloud, held):
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, b"of then...")
        attached = attachments.create_attachment(
            cloud.database, MEMBER, volume_id=volume.id, instance_uuid=None, connector={"host": "h"}
        )
        attachments.complete(cloud.database, MEMBER, attached.id)
        assert cloud.volume(volume.id).status == "in-use"
        image_id = asked(cloud, volume, force=True)
        assert cloud.images.holding.wait(30)
        assert cloud.volume(volume.id).status == "uploading"
        (moment,) = [name for name in cloud.driver.list_objects() if name.startswith("snapshot-")]
        held.clear()
        operation = cloud.settled(volume.id)
        assert operation.state == "succeeded", operation.message
        assert [one.step for one in operation.answers] == ["create_snapshot", "upload", "delete_snapshot"]
        assert cloud.volume(volume.id).status == "in-use"
        assert moment not in list(cloud.driver.list_objects())
        assert content(cloud, image_id) == b"of then..."
        attachments.delete_attachment(cloud.database, MEMBER, attached.id)


def test_detached_while_it_is_uploaded(cloud, held):
    with cloud.running():
        volume = cloud.made(size=1)
        attached = attachments.create_attachment(
            cloud.database, MEMBER, volume_id=volume.id, instance_uuid=None, connector={"host": "h"}
        )
        attachments.complete(cloud.database, MEMBER, attached.id)
        asked(cloud, volume, force=True)
        assert cloud.images.holding.wait(30)
        attachments.delete_attachment(cloud.database, MEMBER, attached.id)
        assert cloud.volume(volume.id).status == "uploading"
        held.clear()
        assert cloud.settled(volume.id).state == "succeeded"
        assert cloud.volume(volume.id).status == "available"


@pytest.mark.parametrize("protected", [False, True])
def test_cancelled(cloud, held, protected):
    with cloud.running():
        volume = cloud.made(size=1)
        image_id = asked(cloud, volume, protected=protected)
        assert cloud.images.holding.wait(30)
        assert cloud.images.get(ADMIN, image_id).status == "saving"
        operation_services.cancel_operation(cloud.database, MEMBER, upload_of(cloud, volume).id)
        operation = cloud.settled(volume.id)
        assert (operation.state, operation.message) == ("cancelled", "The operation was cancelled by its user.")
        assert cloud.volume(volume.id).status == "available"
        assert gone(cloud, image_id)
        held.clear()
        assert content(cloud, asked_and_made(cloud, volume)) == bytes(10)


def test_an_image_service_that_is_busy_when_the_image_has_to_go(cloud, held, monkeypatch):
    """Glance is, while it notices that the sender is gone."""
    discard, refusals = LocalCatalog.discard, [1, 2]

    def busy(self, image_id):
        if refusals:
            refusals.pop()
            raise ServiceUnavailable("The image service answers 500.")
        discard(self, image_id)

    monkeypatch.setattr(Slow, "discard", busy)
    with cloud.running():
        volume = cloud.made(size=1)
        image_id = asked(cloud, volume)
        assert cloud.images.holding.wait(30)
        operation_services.cancel_operation(cloud.database, MEMBER, upload_of(cloud, volume).id)
        operation = cloud.settled(volume.id)
        assert (operation.state, operation.message) == ("cancelled", "The operation was cancelled by its user.")
        assert gone(cloud, image_id)
        held.clear()


def test_an_image_that_cannot_be_removed_is_told_of(cloud, held, monkeypatch):
    def down(self, image_id):
        raise ServiceUnavailable("The image service does not answer.")

    monkeypatch.setattr(Slow, "discard", down)
    monkeypatch.setattr(upload_flow, "UNDO_SECONDS", 0.1)
    with cloud.running():
        volume = cloud.made(size=1)
        asked(cloud, volume)
        assert cloud.images.holding.wait(30)
        operation_services.cancel_operation(cloud.database, MEMBER, upload_of(cloud, volume).id)
        operation = cloud.settled(volume.id)
        assert "Not all that was made could be removed: The image service does not answer." in operation.message
        assert cloud.volume(volume.id).status == "available"
        held.clear()


def asked_and_made(cloud, volume, **more):
    image_id = asked(cloud, volume, **more)
    operation = cloud.settled(volume.id)
    assert operation.state == "succeeded", operation.message
    return image_id


def test_left_by_one_worker_and_begun_anew_by_the_next(cloud, held):
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, b"my content")
        image_id = asked(cloud, volume)
        assert cloud.images.holding.wait(30)
    assert cloud.volume(volume.id).status == "uploading"
    assert cloud.images.get(ADMIN, image_id).status == "queued"
    held.clear()
    with cloud.running():
        assert cloud.settled(volume.id).state == "succeeded"
        assert content(cloud, image_id) == b"my content"


def test_the_answer_of_the_image_service_is_lost(cloud, monkeypatch):
    """The image got all its data, and nobody noted that: it is compared, not sent again."""
    volume = sent_and_forgotten(cloud, monkeypatch)
    with cloud.running():
        operation = cloud.settled(volume.id)
        assert operation.state == "succeeded", operation.message
        assert cloud.volume(volume.id).status == "available"


def sent_and_forgotten(cloud, monkeypatch):
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, b"my content")
    upload = LocalCatalog.upload
    ended = threading.Event()

    def lost(self, context, image_id, pieces):
        upload(self, context, image_id, pieces)
        monkeypatch.setattr(Slow, "upload", Slow.upload)
        ended.set()
        from breezeblock.flows.engine import WorkerStopping

        raise WorkerStopping

    monkeypatch.setattr(Slow, "upload", lost)
    image_id = asked(cloud, volume)
    with cloud.running():
        assert ended.wait(30)
    monkeypatch.undo()
    assert cloud.images.get(ADMIN, image_id).status == "active"
    return volume


def test_half_an_image_is_not_taken_for_a_whole_one(cloud, monkeypatch):
    volume = sent_and_forgotten(cloud, monkeypatch)
    with cloud.database.begin() as connection:
        connection.execute(sa.update(tables.images).values(os_hash_value="0" * 128))
    with cloud.running():
        operation = cloud.settled(volume.id)
    assert operation.state == "failed"
    assert "other data" in operation.message
    assert cloud.volume(volume.id).status == "available"
    assert cloud.count("images") == 0


def test_the_image_service_takes_a_while_to_notice_that_the_sender_is_gone(cloud, monkeypatch):
    busy = []
    upload = LocalCatalog.upload

    def slow_to_notice(self, context, image_id, pieces):
        if len(busy) < 3:
            busy.append(image_id)
            raise Conflict("The image is saving.")
        return upload(self, context, image_id, pieces)

    monkeypatch.setattr(Slow, "upload", slow_to_notice)
    with cloud.running():
        volume = cloud.made(size=1)
        asked(cloud, volume)
        assert cloud.settled(volume.id).message == "The image is saving."  # of a first attempt it is no remnant
    image_id = asked(cloud, volume)
    with cloud.running():  # which counts as an attempt that came before
        operation = cloud.settled(volume.id)
    assert operation.state == "succeeded", operation.message
    assert len(busy) == 3
    assert cloud.images.get(ADMIN, image_id).status == "active"
    monkeypatch.setattr(upload_flow, "PATIENCE_SECONDS", 0.1)
    busy.clear()
    again = asked(cloud, volume)
    with cloud.running():
        assert cloud.settled(volume.id).message == "The image is saving."
    assert cloud.count("images") == 1
    with pytest.raises(NotFound):
        cloud.images.get(ADMIN, again)


def test_a_volume_that_looks_like_another_format(cloud):
    """No image service takes it as raw; in a real format it is as good as any other."""
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, b"QFI\xfb\0\0\0\3")
        image_id = asked(cloud, volume, disk_format="raw")
        operation = cloud.settled(volume.id)
        assert operation.state == "failed"
        assert "Upload it as qcow2" in operation.message
        assert operation.answers[-1].outcome == "failed"
        assert gone(cloud, image_id)
        assert cloud.volume(volume.id).status == "available"
        assert content(cloud, asked_and_made(cloud, volume)).startswith(b"QFI\xfb")


def test_an_image_deleted_by_its_user(cloud, held):
    with cloud.running():
        volume = cloud.made(size=1)
        image_id = asked(cloud, volume)
        assert cloud.images.holding.wait(30)
        cloud.images.delete(MEMBER, image_id)
        held.clear()
        operation = cloud.settled(volume.id)
        assert operation.state == "failed"
        assert gone(cloud, image_id)
        assert cloud.volume(volume.id).status == "available"


def test_a_forced_delete_waits_for_the_upload(cloud, held):
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, b"my content")
        image_id = asked(cloud, volume)
        assert cloud.images.holding.wait(30)
        volumes.delete_volume(cloud.database, ADMIN, volume.id, force=True)
        with cloud.database.read() as connection:
            assert {one.flow for one in operations.pending(connection, cloud.backend.slot)} == {
                "upload_image",
                "delete_volume",
            }
        held.clear()
        cloud.settled(volume.id)
        with pytest.raises(NotFound):
            cloud.volume(volume.id)
        assert content(cloud, image_id) == b"my content"


def test_a_moment_that_cannot_be_removed_costs_no_image(cloud, monkeypatch):
    with cloud.running():
        volume = cloud.made(size=1)
        attached = attachments.create_attachment(
            cloud.database, MEMBER, volume_id=volume.id, instance_uuid=None, connector={"host": "h"}
        )
        attachments.complete(cloud.database, MEMBER, attached.id)

        def fail(snapshot):
            raise BackendTransient("not now")

        monkeypatch.setattr(type(cloud.driver), "delete_snapshot", staticmethod(fail))
        image_id = asked(cloud, volume, force=True)
        operation = cloud.settled(volume.id)
        assert operation.state == "failed"
        assert "Not all that was made could be removed: not now" in operation.message
        assert cloud.images.get(ADMIN, image_id).status == "active"
        assert cloud.volume(volume.id).status == "in-use"
        monkeypatch.undo()
        attachments.delete_attachment(cloud.database, MEMBER, attached.id)


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vhd", "vdi"])
def test_progress_and_explanation(cloud, disk_format):
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, b"x" * 5_000_000, 17 << 20)
        image_id = asked(cloud, volume, disk_format=disk_format)
        operation = cloud.settled(volume.id)
    image = cloud.images.get(RequestContext(user_id="u", project_id="project"), image_id)
    assert operation.bytes_done == operation.bytes_total == (GIB if disk_format == "vmdk" else image.size)
    (answer,) = operation.answers
    assert answer.given == {"image": image_id, "disk_format": disk_format}
    assert answer.result == {"size": image.size, "checksum": image.checksum}
    with open_file(cloud.images.local_path(image_id)) as stored:
        inspect(stored, disk_format)
