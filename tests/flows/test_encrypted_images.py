"""Images of encrypted volumes, and encrypted volumes of such: the container as it is, under keys of their own."""

import msgspec
import pytest

from breezeblock.db import image_keys
from breezeblock.errors import InvalidInput, KeyManagerError
from breezeblock.exports.nbd import NbdExports
from breezeblock.images import local
from breezeblock.images.local import LocalCatalog
from breezeblock.keys.store import passphrase
from breezeblock.services import attachments, reimage
from breezeblock.services.doctor.examine import examine
from breezeblock.services.uploads import UploadImage, upload_image
from tests import encrypted
from tests.cloud import ADMIN, MEMBER, Cloud
from tests.flows.test_encryption import (
    CONTENT,
    DEFAULT,
    MARKER,
    MIB,
    SECRET,
    container,
    delete,
    key_of,
    keys,
    make_type,
    refused,
    require,
)

KEY_ID, POLICY = "cinder_encryption_key_id", "cinder_encryption_key_deletion_policy"


class Unhashed(LocalCatalog):
    """The local store, of images of a GiB whose hash nobody wants to wait for."""

    def get(self, context, image_id):
        hashes = dict.fromkeys(("checksum", "os_hash_algo", "os_hash_value"))
        return msgspec.structs.replace(super().get(context, image_id), **hashes)


class NoSums(local._Sums):
    def update(self, piece):
        pass


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path, monkeypatch):
    """On the local image store; one driver on SQLite, the other on PostgreSQL."""
    monkeypatch.setattr(local, "_Sums", NoSums)
    url = request.getfixturevalue("postgres_url") if request.param == "simulated" else None
    cloud = Cloud(tmp_path / "data", f"{DEFAULT}volume_driver = {request.param}\n", url)
    make_type(cloud, "secret")
    cloud.below = tmp_path
    cloud.images = Unhashed(cloud.database, cloud.settings.data_dir / "images")
    cloud.backend = msgspec.structs.replace(cloud.backend, images=cloud.images)
    with cloud.running():
        yield cloud
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


def secret(cloud):
    """An encrypted volume with the content, and no plain image left anywhere."""
    record = cloud.images.create(MEMBER, name="plain", disk_format="raw", container_format="bare")
    cloud.images.upload(MEMBER, record.id, [CONTENT])
    volume = cloud.made(size=1, image_ref=record.id, volume_type="secret")
    cloud.images.delete(MEMBER, record.id)
    assert volume.status == "available", cloud.operations(volume.id)[0].message
    return volume


def upload(cloud, volume, **more):
    request = UploadImage(**{"image_name": "secret", **more})
    made = upload_image(cloud.database, cloud.settings, cloud.images, MEMBER, volume.id, request).image
    operation = cloud.settled(volume.id)
    assert operation.state == "succeeded", operation.message
    return cloud.images.get(MEMBER, made.id)


def test_an_image_is_the_container_and_has_a_key_of_its_own(cloud, tmp_path):
    volume = secret(cloud)
    made = upload(cloud, volume)
    key_id = made.properties[KEY_ID]
    assert (made.disk_format, made.size, made.properties[POLICY]) == ("raw", volume.size_bytes, "on_image_deletion")
    assert key_id not in (None, volume.encryption_key_id)
    path = cloud.images.local_path(made.id)
    with open(path, "rb") as file, open(container(cloud, volume, tmp_path), "rb") as there:
        assert file.read(5 * MIB) == there.read(5 * MIB)
    old_key = key_of(cloud, volume)
    delete(cloud, volume)
    key = passphrase(cloud.backend.keys.get(key_id))
    assert key == old_key  # as Cinder has it: the image's bytes are the volume's, header and all
    (tmp_path / "opened").symlink_to(path)
    assert encrypted.inside(tmp_path / "opened", key, 5)[: len(CONTENT)] == CONTENT
    assert list(encrypted.files_with(MARKER, cloud.below)) == []
    assert keys(cloud) == [key_id]
    assert [one.wrong for one in examine(cloud.settings, cloud.database)] == []


def test_a_volume_of_it_is_under_a_key_of_its_own(cloud, tmp_path):
    """Also one that is larger, and one of which the image is what a re-imaging puts there."""
    volume = secret(cloud)
    made = upload(cloud, volume)
    copy = cloud.made(size=1, image_ref=made.id, volume_type="secret")  # no room is needed beside the container
    larger = cloud.made(size=2, image_ref=made.id, volume_type="secret")
    family = [volume, copy, larger]
    assert len({one.encryption_key_id for one in family}) == 3
    for one in family:
        require(cloud, one, tmp_path)
    refused(cloud, copy, key_of(cloud, volume), tmp_path)
    path = container(cloud, larger, tmp_path)
    done = encrypted.io(path, key_of(cloud, larger), "write -P 7 2045M 1M", "length")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1.998 GiB"), done
    path.unlink()
    assert KEY_ID not in copy.image_metadata
    assert copy.bootable
    empty = cloud.made(size=1, volume_type="secret")
    reimage.reimage_volume(cloud.database, cloud.images, MEMBER, empty.id, made.id)
    assert cloud.settled(empty.id).state == "succeeded"
    require(cloud, cloud.volume(empty.id), tmp_path)
    refused(cloud, empty, key_of(cloud, volume), tmp_path)


def test_the_key_goes_with_the_image(cloud):
    volume = secret(cloud)
    made = upload(cloud, volume)
    cloud.images.delete(MEMBER, made.id)
    cloud.settled(made.id)
    assert keys(cloud) == [volume.encryption_key_id]
    with cloud.database.read() as connection:
        assert image_keys.find(connection, made.id) is None
    kept = upload(cloud, volume)
    cloud.images.update(MEMBER, kept.id, {"properties": {**kept.properties, POLICY: "do_not_delete"}})
    cloud.images.delete(MEMBER, kept.id)
    assert keys(cloud) == sorted([volume.encryption_key_id, kept.properties[KEY_ID]])


def test_a_key_that_could_not_be_forgotten_is_told_of(cloud, monkeypatch):
    def fail(key_id):
        raise KeyManagerError("There is no way to it today.")

    volume = secret(cloud)
    made = upload(cloud, volume)
    monkeypatch.setattr(cloud.backend.keys, "delete", fail)
    cloud.images.delete(MEMBER, made.id)
    assert cloud.settled(made.id).state == "failed"
    (found,) = examine(cloud.settings, cloud.database)
    assert (found.kind, found.id, found.fix) == ("left_image_key", made.id, "forget the key")
    monkeypatch.undo()
    with cloud.database.begin() as connection:
        image_keys.request(connection, ADMIN, image_keys.find(connection, made.id))
    assert cloud.settled(made.id).state == "succeeded"
    assert keys(cloud) == [volume.encryption_key_id]


@pytest.mark.parametrize("asked", [{"disk_format": "qcow2"}, {"disk_format": "vmdk"}, {"container_format": "ami"}])
def test_only_raw_and_bare(cloud, asked):
    volume = secret(cloud)
    with pytest.raises(InvalidInput, match="must use 'raw' disk_format and 'bare' container_format"):
        upload(cloud, volume, **asked)
    assert cloud.volume(volume.id).status == "available"


def test_a_type_that_does_not_encrypt_or_otherwise(cloud):
    made = upload(cloud, secret(cloud))
    with pytest.raises(InvalidInput, match="is encrypted, and the volume's type is not"):
        cloud.create(size=1, image_ref=made.id)
    plain = cloud.made(size=1)
    with pytest.raises(InvalidInput, match="is encrypted, and the volume's type is not"):
        reimage.reimage_volume(cloud.database, cloud.images, MEMBER, plain.id, made.id)
    make_type(cloud, "short", {**SECRET, "key_size": 128})
    volume = cloud.made(size=1, image_ref=made.id, volume_type="short")
    assert volume.status == "error"
    assert "not encrypted in the way of the volume's type" in cloud.operations(volume.id)[0].message
    make_type(cloud, "long", {**SECRET, "key_size": 512})  # whose sectors are encrypted under keys of the same length
    assert cloud.made(size=1, image_ref=made.id, volume_type="long").status == "available"


def test_of_a_volume_in_use(cloud, tmp_path):
    volume = secret(cloud)
    attached = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "h"})
    attachments.complete(cloud.database, MEMBER, attached.id)
    made = upload(cloud, volume, force=True)
    attachments.delete_attachment(cloud.database, MEMBER, attached.id)
    require(cloud, cloud.made(size=1, image_ref=made.id, volume_type="secret"), tmp_path)


def test_an_upload_that_fails_leaves_no_key(cloud, monkeypatch):
    volume = secret(cloud)

    def fail(self, context, image_id, pieces):
        assert len(keys(cloud)) == 2
        raise InvalidInput("The image service is not in the mood.")

    monkeypatch.setattr(LocalCatalog, "upload", fail)
    request = UploadImage(image_name="secret")
    upload_image(cloud.database, cloud.settings, cloud.images, MEMBER, volume.id, request)
    operation = cloud.settled(volume.id)
    assert (operation.state, operation.message) == ("failed", "The image service is not in the mood.")
    assert keys(cloud) == [volume.encryption_key_id]
    assert cloud.count("image_keys") == cloud.count("images") == 0


def test_an_image_that_does_not_say_so_is_taken_as_it_is(cloud):
    """Its bytes, header and all, as a plain volume: as with Cinder."""
    volume = secret(cloud)
    made = upload(cloud, volume)
    cloud.images.update(MEMBER, made.id, {"properties": {}})
    with cloud.driver.open_volume(cloud.made(size=1, image_ref=made.id)) as source:
        assert source.pread(6, 0) == b"LUKS\xba\xbe"
