"""Encrypted volumes of every source, on both drivers: what lies on the storage is a LUKS container that QEMU opens with
the volume's own key and no other, and nothing of the content is on the disk in plain."""

import stat
import subprocess
import uuid

import pytest

from breezeblock.db import backups as backup_rows
from breezeblock.db import volume_types
from breezeblock.encryption.luks import HEADER_BYTES
from breezeblock.errors import InvalidInput, InvalidState, KeyManagerError
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import replicas
from breezeblock.images.catalog import RangesUnsupported
from breezeblock.keys.store import passphrase
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.volume_type import VolumeType
from breezeblock.services import backups, encryption, extend, reimage, snapshots
from breezeblock.services import volumes as volume_services
from breezeblock.services.doctor.examine import examine
from tests import encrypted
from tests.cloud import MEMBER, Cloud

CONF = {
    "simulated": "volume_driver = simulated\nsimulated_replication = true\nsimulated_clone_image = true\n",
    "directory": "volume_driver = directory\nreplication_device = {replicas}\n",
}
DEFAULT = "[DEFAULT]\nenabled_backends = one\n[one]\n"
MIB = 1 << 20
MARKER = b"in plain nowhere but in the image"
CONTENT = (MARKER * 40000)[: 1 * MIB] + bytes(2 * MIB) + (MARKER[::-1] * 40000)[: MIB + 700]
SECRET = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 256}


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path):
    (tmp_path / "replicas").mkdir()
    cloud = Cloud(tmp_path / "data", DEFAULT + CONF[request.param].format(replicas=tmp_path / "replicas"))
    make_type(cloud, "secret", replication_enabled="<is> True")
    cloud.below = tmp_path
    with cloud.running():
        yield cloud
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


def make_type(cloud, name, specs=SECRET, **extra_specs):
    made = VolumeType(id=str(uuid.uuid4()), name=name, extra_specs=extra_specs, created_at=clock.now())
    with cloud.database.begin() as connection:
        volume_types.insert(connection, made)
    if specs is not None:
        encryption.create_encryption(cloud.database, made.id, **specs)
    return made


def image(cloud, disk_format="raw", content=CONTENT, **fields):
    if disk_format != "raw":
        raw, made = cloud.settings.data_dir.parent / "raw", cloud.settings.data_dir.parent / "made"
        raw.write_bytes(content)
        subprocess.run(["qemu-img", "convert", "-O", disk_format, "-f", "raw", raw, made], check=True)
        content = made.read_bytes()
        raw.unlink()
        made.unlink()
    record = Image(id=str(uuid.uuid4()), disk_format=disk_format, container_format="bare", size=len(content), **fields)
    return cloud.images.add(record, content).id


def key_of(cloud, thing):
    return passphrase(cloud.backend.keys.get(thing.encryption_key_id))


def container(cloud, volume, tmp_path):
    with cloud.driver.open_volume(volume) as source:
        assert source.size == volume.size_bytes
        return encrypted.dump(source, tmp_path / f"{volume.id}.container")


def require(cloud, volume, tmp_path, content=CONTENT):
    """Hold that a volume is available, opens by its own key, and that nothing is to be seen without."""
    assert volume.status == "available", cloud.operations(volume.id)[0].message
    path = container(cloud, volume, tmp_path)
    found = encrypted.inside(path, key_of(cloud, volume), 5)
    assert found[: len(content)] == content
    path.unlink()
    assert list(encrypted.files_with(MARKER, cloud.below)) == []


def refused(cloud, volume, key, tmp_path):
    """Hold that a key does not open a volume."""
    path = container(cloud, volume, tmp_path)
    assert "Invalid password" in encrypted.io(path, key, "read 0 512").stderr
    path.unlink()


def write_inside(cloud, volume, tmp_path, *orders):
    """Write into a volume as a guest does."""
    path = container(cloud, volume, tmp_path)
    done = encrypted.io(path, key_of(cloud, volume), *orders)
    assert done.returncode == 0, done

    def fill(target):
        with open(path, "rb") as file:
            while data := file.read(MIB):
                if any(data):
                    target.pwrite(data, file.tell() - len(data))

    cloud.driver.copy_image_to_volume(volume, f"test:{uuid.uuid4()}", fill)
    path.unlink()


def delete(cloud, volume, **more):
    volume_services.delete_volume(cloud.database, MEMBER, volume.id, **more)
    assert cloud.settled(volume.id).state == "succeeded"


def keys(cloud):
    root = cloud.settings.data_dir / "keys"
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def test_an_empty_volume(cloud, tmp_path):
    volume = cloud.made(size=1, volume_type="secret")
    assert volume.status == "available", cloud.operations(volume.id)[0].message
    path = container(cloud, volume, tmp_path)
    done = encrypted.io(path, key_of(cloud, volume), "write -P 7 10M 1M", "read -P 7 10M 1M", "length")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1022 MiB"  # the header is inside of the volume's size, as with Cinder
    (key,) = (cloud.settings.data_dir / "keys").iterdir()
    assert (key.name, stat.S_IMODE(key.stat().st_mode)) == (volume.encryption_key_id, 0o600)
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    delete(cloud, volume)
    assert keys(cloud) == []


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vhdx"])
def test_a_volume_of_an_image(cloud, tmp_path, disk_format):
    """Rungs 1 to 3 decline; what the image has as holes reads as zeros, not as noise."""
    image_id = image(cloud, disk_format)
    volume = cloud.made(size=2, image_ref=image_id, volume_type="secret")
    require(cloud, volume, tmp_path)
    declined = {one.step: one.reason for one in cloud.operations(volume.id)[0].answers if one.outcome == "declined"}
    assert set(declined) == {"driver_clone", "image_volume", "cached"}
    assert all("encrypted" in reason for reason in declined.values())
    assert (volume.bootable, volume.size) == (True, 2)
    refused(cloud, volume, "ab" * 32, tmp_path)


@pytest.mark.parametrize("key_size", [128, 512])
def test_other_key_sizes(cloud, tmp_path, key_size):
    make_type(cloud, "other", {**SECRET, "key_size": key_size})
    volume = cloud.made(size=1, image_ref=image(cloud), volume_type="other")
    require(cloud, volume, tmp_path)
    assert len(key_of(cloud, volume)) == key_size // 4


def test_an_image_that_leaves_no_room_for_the_header(cloud):
    """At the request where the size is known, else when the image's header was read."""
    too_large = (1 << 30) - HEADER_BYTES + 1
    small = image(cloud, "qcow2", bytes(MIB), virtual_size=too_large)
    with pytest.raises(InvalidInput, match="LUKS header are larger than volume size 1GB; ask for 2GB"):
        cloud.create(size=1, image_ref=small, volume_type="secret")
    assert cloud.made(size=1, image_ref=small).status == "available"
    raw, made = cloud.below / "large.raw", cloud.below / "large.qcow2"
    with open(raw, "wb") as file:
        file.truncate((1 << 30) - HEADER_BYTES + 512)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-f", "raw", raw, made], check=True)
    record = Image(id=str(uuid.uuid4()), disk_format="qcow2", container_format="bare", size=made.stat().st_size)
    cloud.images.add(record, made.read_bytes())
    volume = cloud.made(size=1, image_ref=record.id, volume_type="secret")
    assert volume.status == "error"
    assert "bytes and the volume" in cloud.operations(volume.id)[0].message
    assert keys(cloud) == []
    assert f"volume-{volume.id}" not in set(cloud.driver.list_objects())


def test_clones_have_keys_of_their_own(cloud, tmp_path):
    """Of a volume, a snapshot and clones of those; each lives on when what it was made of is gone."""
    first = cloud.made(size=1, image_ref=image(cloud), volume_type="secret")
    snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=first.id)
    cloud.settled(snapshot.id)
    clone = cloud.made(source_volid=first.id)
    copy = cloud.made(snapshot_id=snapshot.id, size=2)
    again = cloud.made(source_volid=copy.id, size=3)
    family = [first, clone, copy, again]
    assert len(set(keys(cloud))) == len(family)
    for one in family:
        require(cloud, one, tmp_path)
        for other in family:
            if other is not one:
                refused(cloud, one, key_of(cloud, other), tmp_path)
    write_inside(cloud, clone, tmp_path, "write -P 9 0 1M")
    for gone in (first, copy):
        delete(cloud, gone, cascade=True)
    assert keys(cloud) == sorted([clone.encryption_key_id, again.encryption_key_id])
    require(cloud, again, tmp_path)
    require(cloud, clone, tmp_path, b"\x09" * MIB + CONTENT[MIB:])
    for gone in (clone, again):
        delete(cloud, gone)
    assert (keys(cloud), list(cloud.driver.list_objects())) == ([], [])


def test_a_volume_of_a_replica(cloud, tmp_path):
    volume = cloud.made(size=1, image_ref=image(cloud), volume_type="secret")
    replicas.request_due(cloud.backend)
    assert cloud.settled(volume.id).state == "succeeded"
    copy = cloud.made(source_replica=volume.id)
    require(cloud, copy, tmp_path)
    refused(cloud, copy, key_of(cloud, volume), tmp_path)


def test_backup_and_restore(cloud, tmp_path):
    """A backup has a copy of the key, so it outlives the volume; what is restored is under the new volume's own."""
    volume = cloud.made(size=1, image_ref=image(cloud), volume_type="secret")
    backup = backups.create_backup(cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id))
    assert cloud.settled(backup.id).state == "succeeded"
    with cloud.database.read() as connection:
        backup = backup_rows.get(connection, backup.id)
    old_key = key_of(cloud, volume)
    assert key_of(cloud, backup) == old_key
    delete(cloud, volume)
    assert keys(cloud) == [backup.encryption_key_id]
    made = cloud.made(backup_id=backup.id, size=2)
    require(cloud, made, tmp_path)
    refused(cloud, made, old_key, tmp_path)
    there = cloud.made(size=1, volume_type="secret")
    backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id, volume_id=there.id)
    assert cloud.settled(backup.id).state == "succeeded"
    require(cloud, cloud.volume(there.id), tmp_path)
    refused(cloud, there, old_key, tmp_path)
    plain = cloud.made(size=1)
    with pytest.raises(InvalidInput, match="one is encrypted and one is not"):
        backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id, volume_id=plain.id)
    with pytest.raises(InvalidInput, match="is not compatible"):
        cloud.create(backup_id=backup.id, volume_type="__DEFAULT__")
    backups.delete_backup(cloud.database, MEMBER, backup.id)
    assert cloud.settled(backup.id).state == "succeeded"
    assert keys(cloud) == sorted([made.encryption_key_id, there.encryption_key_id])


def test_extend(cloud, tmp_path):
    volume = cloud.made(size=1, image_ref=image(cloud), volume_type="secret")
    extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 2)
    assert cloud.settled(volume.id).state == "succeeded"
    volume = cloud.volume(volume.id)
    require(cloud, volume, tmp_path)
    path = container(cloud, volume, tmp_path)
    assert encrypted.io(path, key_of(cloud, volume), "write -P 3 2045M 1M").returncode == 0


def test_what_is_encrypted_stays_so_and_what_is_not_does_not_become_so(cloud):
    """As Cinder has it; types that encrypt in the same way may be changed for one another."""
    secret, plain = cloud.made(size=1, volume_type="secret"), cloud.made(size=1)
    make_type(cloud, "alike")
    make_type(cloud, "larger", {**SECRET, "key_size": 512})
    for source, volume_type in ((secret, "__DEFAULT__"), (secret, "larger"), (plain, "secret")):
        with pytest.raises(InvalidInput, match=r"Invalid volume_type provided.*is not compatible"):
            cloud.create(source_volid=source.id, volume_type=volume_type)
    assert cloud.made(source_volid=secret.id, volume_type="alike").status == "available"


@pytest.mark.parametrize(
    ("specs", "extra", "error", "reason"),
    [
        ({"provider": "plain"}, {}, InvalidInput, "provider plain is not supported; luks is"),
        ({"control_location": "back-end"}, {}, InvalidInput, "back-end is not supported; front-end is"),
        ({"cipher": "aes-cbc-essiv:sha256"}, {}, InvalidInput, "aes-xts-plain64 is"),
        ({"cipher": None}, {}, InvalidInput, "cipher None is not supported"),
        ({"key_size": 77}, {}, InvalidInput, "128, 256, 512 are"),
        ({}, {"multiattach": "<is> True"}, InvalidState, "Multiattach cannot be used with encrypted volumes"),
    ],
)
def test_what_cannot_be_encrypted_as_asked(cloud, specs, extra, error, reason):
    make_type(cloud, "odd", {**SECRET, **specs}, **extra)
    with pytest.raises(error, match=reason):
        cloud.create(size=1, volume_type="odd")
    told = volume_services.plan_volume(
        cloud.database, cloud.settings, cloud.images, MEMBER, volume_services.CreateVolume(size=1, volume_type="odd")
    )
    assert reason.split(";")[0][-20:] in str(told["reason"]) or reason in str(told["reason"])


def test_an_image_that_names_a_key_of_others_is_refused(cloud):
    """The service could read it, and would tell what lies under it to whoever wrote its id into a property."""
    victim = cloud.made(size=1, volume_type="secret")
    own = image(cloud, properties={"cinder_encryption_key_id": victim.encryption_key_id})
    for volume_type in ("secret", "__DEFAULT__"):
        with pytest.raises(InvalidInput, match="a key that this service did not make for it"):
            cloud.create(size=1, image_ref=own, volume_type=volume_type)
    with pytest.raises(InvalidInput, match="did not make for it"):
        reimage.reimage_volume(cloud.database, cloud.images, MEMBER, victim.id, own)


def test_a_failed_create_leaves_no_key(cloud, monkeypatch):
    image_id = image(cloud)
    cloud.images.content[image_id] = CONTENT[:-1]
    volume = cloud.made(size=1, image_ref=image_id, volume_type="secret")
    assert volume.status == "error"
    assert (keys(cloud), list(cloud.driver.list_objects())) == ([], [])
    monkeypatch.setattr(cloud.backend.keys, "make", broken)
    volume = cloud.made(size=1, volume_type="secret")
    assert volume.status == "error"
    assert "no key today" in cloud.operations(volume.id)[0].message
    assert (keys(cloud), list(cloud.driver.list_objects())) == ([], [])


def broken(name, length, reader):
    raise KeyManagerError("There is no key today.")


def test_a_key_that_is_lost_fails_a_clone_and_leaves_nothing(cloud):
    volume = cloud.made(size=1, volume_type="secret")
    cloud.backend.keys.delete(volume.encryption_key_id)
    clone = cloud.made(source_volid=volume.id)
    assert clone.status == "error"
    assert f"key {volume.encryption_key_id} is not in" in cloud.operations(clone.id)[0].message
    assert list(cloud.driver.list_objects()) == [volume.storage_name]
    assert keys(cloud) == []


def test_a_driver_that_holds_no_encrypted_volumes(tmp_path):
    cloud = Cloud(tmp_path, DEFAULT + "volume_driver = simulated\nsimulated_encryption = false\n")
    cloud.leaves_flows = True  # there is no worker
    make_type(cloud, "secret")
    refused = cloud.create(size=1, volume_type="secret")
    assert refused.status == "error"
    assert "its driver holds no encrypted volumes" in cloud.settled(refused.id).message
    assert cloud.create(size=1).status == "creating"
    cloud.close()


def test_the_doctor_knows_the_keys(cloud):
    """It tells of keys that belong to nothing and of volumes without theirs, and removes none."""
    volume, plain = cloud.made(size=1, volume_type="secret"), cloud.made(size=1)
    assert [one.wrong for one in examine(cloud.settings, cloud.database)] == []
    orphan = cloud.backend.keys.make(str(uuid.uuid4()), 32, "user")
    cloud.backend.keys.delete(volume.encryption_key_id)
    found = {(one.kind, one.id, one.fix) for one in examine(cloud.settings, cloud.database)}
    assert found == {("orphan_key", orphan, None), ("lost_key", volume.id, None)}
    assert plain.encryption_key_id is None


def test_an_image_that_needs_a_copy_on_disk_is_refused(cloud, monkeypatch):
    """An image service without ranges: what cannot be taken as it comes would lie on a disk in plain."""

    def refuse(*args):
        raise RangesUnsupported

    qcow2, raw = image(cloud, "qcow2"), image(cloud)
    monkeypatch.setattr(cloud.images, "read", refuse)
    with monkeypatch.context() as patched:
        # an image that is no longer than what is kept of its beginning would need no ranges
        patched.setattr("breezeblock.images.content.HEAD_SIZE", 65536)
        volume = cloud.made(size=1, image_ref=qcow2, volume_type="secret")
    assert volume.status == "error"
    assert "no copy of it is put on a disk in plain" in cloud.operations(volume.id)[0].message
    assert cloud.made(size=1, image_ref=raw, volume_type="secret").status == "available"


def test_keys_are_told_nobody(cloud, tmp_path, caplog):
    """Neither in the explanation, nor in events, rows or the log."""
    caplog.set_level("DEBUG")
    volume = cloud.made(size=1, image_ref=image(cloud), volume_type="secret")
    clone = cloud.made(source_volid=volume.id)
    for one in (volume, clone):
        key = key_of(cloud, one)
        kept = cloud.settings.data_dir / "keys" / one.encryption_key_id
        assert key not in caplog.text
        assert list(encrypted.files_with(key.encode(), cloud.below)) == [kept]
        assert list(encrypted.files_with(bytes.fromhex(key), cloud.below)) == []
