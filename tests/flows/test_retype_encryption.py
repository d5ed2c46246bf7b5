"""A retype to a type that encrypts otherwise: the content is the same inside, under a new key or none, where it lies or
on another backend; what fails or is cancelled leaves the volume as it was."""

import threading

import pytest

from breezeblock.errors import BackendOutOfSpace, OverQuota
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import engine
from breezeblock.flows.remaking import MOMENT
from breezeblock.keys.store import passphrase
from breezeblock.services import operations as operation_services
from breezeblock.services import snapshots
from breezeblock.services.doctor.examine import examine
from breezeblock.services.encryption import create_encryption
from breezeblock.services.migration import retype_volume
from breezeblock.services.volume_types import create_type
from breezeblock.services.volumes import delete_volume
from tests import encrypted
from tests.cloud import MEMBER
from tests.flows.test_encryption import SECRET, keys
from tests.flows.test_migration import CONTENT, Pair

MIB = 1 << 20
TYPES = {"plain": None, "secret": 256, "long": 512, "short": 128}
"""Each on both backends, such as `secret-one`: bits of the key."""


@pytest.fixture(params=["simulated", "from directory", "to directory"])
def pair(request, tmp_path):
    pair = Pair(tmp_path / "data", request.param)
    for backend in ("one", "two"):
        for name, bits in TYPES.items():
            specs = {"volume_backend_name": backend}
            made = create_type(
                pair.database, name=f"{name}-{backend}", description=None, is_public=True, extra_specs=specs
            )
            if bits is not None:
                create_encryption(pair.database, made.id, **{**SECRET, "key_size": bits})
    with pair.running():
        yield pair
    for name in ("one", "two"):
        exports = NbdExports(pair.settings.run_dir / "nbd" / name)
        exports.adopt()
        exports.shutdown()
    pair.close()


def filled(pair):
    """A plain volume of backend one with the content from 5 MiB on, and at its very end."""
    volume = pair.made(size=1, volume_type="plain-one")

    def fill(target):
        target.pwrite(CONTENT, 5 * MIB)
        target.pwrite(b"the end!", volume.size_bytes - 8)

    pair.driver.copy_image_to_volume(volume, "test", fill)
    return volume


def retype(pair, volume, new_type, policy="on-demand"):
    """The operation, ended. A container has every byte of its inside written, which takes its time."""
    retype_volume(pair.database, pair.settings, MEMBER, volume.id, new_type, policy)
    pair.settled(volume.id, 180)
    pair.at_rest()
    return next(one for one in pair.operations(volume.id) if one.kind == "retype_volume")


def retyped(pair, volume, new_type):
    operation = retype(pair, volume, new_type)
    assert operation.state == "succeeded", operation
    moved = pair.volume(volume.id)
    assert moved.status == "available"
    return moved


def require(pair, volume, tmp_path, size, end=1 << 30):
    """Hold that the volume has the content, inside a container where it has a key, and that nothing else is left."""
    driver = pair.driver if volume.backend == pair.backend.name else pair.other.driver
    assert volume.size == size
    with driver.open_volume(volume) as source:
        assert source.size == size << 30
        if volume.encryption_key_id is None:
            assert source.pread(len(CONTENT), 5 * MIB) == CONTENT
            assert source.pread(8, end - 8) == b"the end!"
        else:
            path = encrypted.dump(source, tmp_path / "container")
            key = passphrase(pair.backend.keys.get(volume.encryption_key_id))
            assert encrypted.inside(path, key, 11)[5 * MIB :][: len(CONTENT)] == CONTENT
            done = encrypted.io(path, key, f"read -v {end - 8} 8")
            assert b"the end!".hex(" ") in done.stdout, done
            path.unlink()
    assert [name for listed in pair.objects() for name in listed] == [volume.storage_name]
    assert keys(pair) == [one for one in [volume.encryption_key_id] if one is not None]
    assert [one.wrong for one in examine(pair.settings, pair.database)] == []


@pytest.mark.parametrize("there", ["one", "two"])
def test_encrypted_and_decrypted(pair, tmp_path, there):
    """The header takes room that the content must not lose: what becomes encrypted grows by a GiB."""
    volume = filled(pair)
    secret = retyped(pair, volume, f"secret-{there}")
    require(pair, secret, tmp_path, 2)
    assert secret.backend.endswith(f"@{there}")
    require(pair, retyped(pair, secret, "plain-one"), tmp_path, 2)


@pytest.mark.parametrize("pair", ["simulated"], indirect=True)
def test_rekeyed_and_encrypted_otherwise(pair, tmp_path):
    """Where the sectors are encrypted under keys of the same length, the header alone changes."""
    secret = retyped(pair, filled(pair), "secret-one")
    rekeyed = retyped(pair, secret, "long-two")
    assert rekeyed.encryption_key_id not in (None, secret.encryption_key_id)
    require(pair, rekeyed, tmp_path, 2)
    require(pair, retyped(pair, rekeyed, "short-one"), tmp_path, 2)


@pytest.mark.parametrize("there", ["one", "two"])
def test_what_fails_leaves_the_volume_as_it_was(pair, tmp_path, there, monkeypatch):
    def full(*arguments):
        raise BackendOutOfSpace

    volume = filled(pair)
    driver = pair.driver if there == "one" else pair.other.driver
    monkeypatch.setattr(driver, "copy_image_to_volume", full)
    operation = retype(pair, volume, f"secret-{there}")
    assert (operation.state, operation.message) == ("failed", BackendOutOfSpace().message)
    left = pair.volume(volume.id)
    assert (left.status, left.volume_type_id, left.host) == ("available", volume.volume_type_id, volume.host)
    require(pair, left, tmp_path, 1)


@pytest.mark.parametrize("pair", ["simulated", "from directory"], indirect=True)
def test_what_cannot_be_undone_loses_nothing(pair, monkeypatch):
    """Neither the copy nor its undo works: what the volume was is kept, nobody takes it for an orphan, and it goes with it."""

    def broken(*arguments, **named):
        raise RuntimeError

    volume = filled(pair)
    monkeypatch.setattr(engine, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(pair.driver, "copy_image_to_volume", broken)
    monkeypatch.setattr(pair.driver, "create_volume_from_snapshot", broken)
    operation = retype(pair, volume, "secret-one")
    assert operation.state == "failed"
    assert "could not be undone" in operation.message
    left = pair.volume(volume.id)
    assert left.status == "error"
    moment = left.admin_metadata[MOMENT]
    assert moment in pair.objects()[0]
    assert [one.id for one in examine(pair.settings, pair.database) if moment.endswith(one.id)] == []
    delete_volume(pair.database, MEMBER, volume.id)
    pair.at_rest()
    assert pair.objects()[0] == []


def test_cancelled(pair, tmp_path, monkeypatch):
    volume = filled(pair)
    copying, going_on = threading.Event(), threading.Event()
    copy = pair.driver.copy_image_to_volume

    def held(there, content, fill):
        def slow(target):
            copying.set()
            assert going_on.wait(30)
            fill(target)

        copy(there, content, slow)

    monkeypatch.setattr(pair.driver, "copy_image_to_volume", held)
    retype_volume(pair.database, pair.settings, MEMBER, volume.id, "secret-one", "on-demand")
    assert copying.wait(30)
    (operation,) = (one for one in pair.operations(volume.id) if one.kind == "retype_volume")
    assert [one.wrong for one in examine(pair.settings, pair.database)] == []
    operation_services.cancel_operation(pair.database, MEMBER, operation.id)
    going_on.set()
    assert pair.settled(volume.id).state == "cancelled"
    require(pair, pair.volume(volume.id), tmp_path, 1)


def test_what_is_refused(pair, tmp_path):
    volume = filled(pair)
    assert "not allowed" in retype(pair, volume, "secret-one", "never").message
    taken = snapshots.create_snapshot(pair.database, pair.settings, MEMBER, volume_id=volume.id)
    pair.settled(taken.id)
    assert "must not have snapshots" in retype(pair, volume, "secret-one").message
    snapshots.delete_snapshot(pair.database, MEMBER, taken.id)
    pair.at_rest()
    pair.settings.default["quota_gigabytes"] = 1
    with pytest.raises(OverQuota, match="GiB of 1 exceeded"):
        retype_volume(pair.database, pair.settings, MEMBER, volume.id, "secret-one", "on-demand")
    require(pair, pair.volume(volume.id), tmp_path, 1)
