"""Adopted images: the volume is there once the file is; a flow behind it makes the file our own."""

import random
import subprocess
import time

import msgspec
import pytest

from breezeblock.errors import BackendOutOfSpace
from breezeblock.flows import adoption
from breezeblock.model.image import Image
from breezeblock.services import operations as operations_service
from breezeblock.services.doctor.examine import examine
from tests.cloud import ADMIN, MEMBER, Cloud

MiB = 1 << 20
ID = "11111111-2222-4333-8444-555555555555"
DISK = random.Random(3).randbytes(6 * MiB) + bytes(4 * MiB) + b"text " * MiB
CONF = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = directory\nimage_volume_cache_enabled = {cache}\nimage_adopt = {adopt}\n"


@pytest.fixture
def make_cloud(tmp_path, monkeypatch):
    monkeypatch.setattr(adoption, "LONGEST_WAIT_SECONDS", 0.5)

    def make(cache=False, adopt=True):
        return Cloud(tmp_path / "data", CONF.format(cache=cache, adopt=adopt))

    return make


def add_image(cloud, tmp_path, *options, **changes):
    raw, made = tmp_path / "raw", tmp_path / "made"
    raw.write_bytes(DISK)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, made], check=True)
    content = made.read_bytes()
    image = Image(
        id=ID,
        disk_format="qcow2",
        container_format="bare",
        size=len(content),
        checksum=None,
        updated_at="2026-01-01T00:00:00.000000",
        owner=MEMBER.project_id,
    )
    return cloud.images.add(msgspec.structs.replace(image, **changes), content)


def content(cloud, volume):
    with cloud.driver.open_volume(volume) as source:
        return source.pread(len(DISK), 0)


def kinds(cloud, volume):
    return [(one.kind, one.state) for one in cloud.operations(volume.id)]


def answer(cloud, volume):
    (found,) = [one for one in cloud.operations(volume.id)[-1].answers if one.step == "adopt"]
    return found.outcome, found.reason


def settled_all(cloud, volume):
    deadline = time.monotonic() + 30
    while any(one.state in {"queued", "running", "stalled"} for one in cloud.operations(volume.id)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert list(cloud.driver.list_adopted()) == []
    assert content(cloud, volume) == DISK


@pytest.mark.parametrize("options", [[], ["-c"], ["-c", "-o", "compression_type=zstd"]], ids=["plain", "zlib", "zstd"])
def test_a_volume_of_a_qcow2_image_stands_on_it_until_it_is_settled(make_cloud, tmp_path, options):
    cloud = make_cloud()
    add_image(cloud, tmp_path, *options)
    with cloud.running():
        volume = cloud.made(size=2, image_ref=ID)
        assert volume.status == "available"
        assert answer(cloud, volume) == ("made", "")
        assert kinds(cloud, volume) == [("settle_image", "succeeded"), ("create_volume", "succeeded")]
        settled_all(cloud, volume)
        assert len(cloud.images.opened) == 1


def test_a_cached_image_is_adopted_once_for_all(make_cloud, tmp_path):
    cloud = make_cloud(cache=True)
    add_image(cloud, tmp_path, "-c")
    with cloud.running():
        made = [cloud.create(size=1, image_ref=ID) for _ in range(4)]
        for one in made:
            cloud.settled(one.id)
            assert content(cloud, cloud.volume(one.id)) == DISK
        with cloud.database.read() as connection:
            cached = connection.exec_driver_sql("SELECT volume_id FROM image_cache_entries").scalar_one()
        settled_all(cloud, cloud.volume(cached))
        assert kinds(cloud, cloud.volume(cached)) == [("settle_image", "succeeded"), ("fill_image_cache", "succeeded")]
        assert len(cloud.images.opened) == 1
        assert all(content(cloud, cloud.volume(one.id)) == DISK for one in made)


def test_a_qcow2_image_that_lies_here_is_settled_once_for_all_that_stand_on_it(make_cloud, tmp_path):
    cloud = make_cloud(adopt=False)
    image = add_image(cloud, tmp_path)
    cloud.images.add(image, b"", path=tmp_path / "made")
    assert cloud.backend.copies.take("another project", "another copy")
    with cloud.running():
        first, second = (cloud.made(size=1, image_ref=ID) for _ in range(2))
        assert kinds(cloud, second) == [("create_volume", "succeeded")]
        deadline = time.monotonic() + 30
        while (settling := cloud.operations(first.id)[0]).state != "stalled":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert (settling.kind, settling.message) == ("settle_image", "Other copies of this backend go first.")
        assert settling.bytes_done == 0
        assert examine(cloud.settings, cloud.database) == []
        cloud.backend.copies.give_back("another copy")
        settled_all(cloud, first)
        settled_all(cloud, second)
        assert not cloud.images.opened


def test_what_cannot_be_adopted_is_converted_and_says_why(make_cloud, tmp_path):
    cloud = make_cloud()
    image = add_image(cloud, tmp_path)
    cloud.images.add(msgspec.structs.replace(image, disk_format="raw", size=len(DISK)), DISK)
    with cloud.running():
        volume = cloud.made(size=1, image_ref=ID)
        assert answer(cloud, volume) == ("declined", "only qcow2 images are adopted; this one is raw")
        assert kinds(cloud, volume) == [("create_volume", "succeeded")]
        assert content(cloud, volume) == DISK


def test_nothing_is_adopted_unless_it_is_asked_for(make_cloud, tmp_path):
    cloud = make_cloud(adopt=False)
    add_image(cloud, tmp_path)
    with cloud.running():
        volume = cloud.made(size=1, image_ref=ID)
        assert kinds(cloud, volume) == [("create_volume", "succeeded")]
        assert content(cloud, volume) == DISK


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "data_file={dir}/data-file,data_file_raw=on"], "external data file"),
        (["-o", "extended_l2=on"], "extended L2"),
        # not luks: for that qemu-img measures the processor, and gives up on a machine that is busy
        (["-o", "encrypt.format=aes,encrypt.key-secret=s", "--object", "secret,id=s,data=x"], "encrypted"),
    ],
)
def test_what_the_gate_refuses_is_not_adopted(make_cloud, tmp_path, options, says):
    cloud = make_cloud()
    add_image(cloud, tmp_path, *(one.format(dir=tmp_path) for one in options))
    with cloud.running():
        volume = cloud.made(size=1, image_ref=ID)
        assert volume.status == "error"
        assert says in cloud.settled(volume.id).message or "refused" in cloud.settled(volume.id).message
        assert list(cloud.driver.list_objects()) == []
        assert not list(cloud.driver._store.published("bases"))


def test_a_wrong_checksum_leaves_nothing(make_cloud, tmp_path):
    cloud = make_cloud()
    add_image(cloud, tmp_path, os_hash_algo="sha512", os_hash_value="0" * 128)
    with cloud.running():
        volume = cloud.made(size=1, image_ref=ID)
        assert volume.status == "error"
        assert "checksum" in cloud.settled(volume.id).message
        assert list(cloud.driver.list_objects()) == []
        assert not list(cloud.driver._store.published("bases"))
        assert not list(cloud.driver._store.unfinished())


def test_a_full_storage_stalls_the_pass_and_it_cannot_be_cancelled(make_cloud, tmp_path, monkeypatch):
    cloud = make_cloud()
    add_image(cloud, tmp_path)
    full, settle = [True], cloud.driver.settle_image

    def settle_image(name):
        if full:
            raise BackendOutOfSpace("The storage is full.")
        settle(name)

    monkeypatch.setattr(cloud.driver, "settle_image", settle_image)
    with cloud.running():
        volume = cloud.create(size=1, image_ref=ID)
        deadline = time.monotonic() + 30
        while not (found := [one for one in cloud.operations(volume.id) if one.state == "stalled"]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert found[0].message == "The storage is full."
        assert content(cloud, cloud.volume(volume.id)) == DISK
        with pytest.raises(operations_service.InvalidState):
            operations_service.cancel_operation(cloud.database, ADMIN, found[0].id)
        full.clear()
        settled_all(cloud, volume)


def test_the_doctor_finds_what_nobody_settles(make_cloud, tmp_path, monkeypatch):
    cloud = make_cloud()
    add_image(cloud, tmp_path)
    monkeypatch.setattr(cloud.driver, "settle_image", lambda name: 1 / 0)
    with cloud.running():
        volume = cloud.made(size=1, image_ref=ID)
        assert kinds(cloud, volume) == [("settle_image", "failed"), ("create_volume", "succeeded")]
    found = [(one.kind, one.id) for one in examine(cloud.settings, cloud.database)]
    assert found == [("adoption_without_flow", volume.id)]
