"""The image-volume cache: one download, clones after that, limits kept by dropping what was unused for longest."""

import hashlib
import threading
import uuid

import msgspec
import pytest

from breezeblock.db import image_cache, outbox, volumes
from breezeblock.errors import BackendOutOfSpace
from breezeblock.model.image import Image
from tests.cloud import Cloud

CONF = """
[DEFAULT]
enabled_backends = one
[one]
volume_driver = simulated
image_volume_cache_max_count = {count}
image_volume_cache_max_size_gb = {size}
"""
CONTENT = b"image " * 1000


@pytest.fixture
def start(tmp_path):
    clouds = []

    def begin(count=0, size=0):
        cloud = Cloud(tmp_path, CONF.format(count=count, size=size))
        clouds.append(cloud)
        return cloud

    yield begin
    for cloud in clouds:
        cloud.close()


def add(cloud, image_id, gigabytes=1, **changes):
    """A raw image that needs so many GiB. What is not content reads as zeros, and is not stored."""
    size = len(CONTENT) if gigabytes == 1 else (gigabytes << 30)
    image = Image(
        id=image_id,
        name=image_id,
        disk_format="raw",
        container_format="bare",
        size=size,
        owner="project",
        updated_at="2026-01-01T00:00:00.000000",
    )
    return cloud.images.add(msgspec.structs.replace(image, **changes), CONTENT)


def entries(cloud):
    with cloud.database.read() as connection:
        return [entry.image_id for entry in image_cache.of_backend(connection, cloud.backend.name)]


def rung(cloud, volume):
    (operation,) = cloud.operations(volume.id)
    return [
        one.step for one in operation.answers if one.outcome == "made" and one.step not in {"placement", "bootable"}
    ]


def content(cloud, volume):
    with cloud.driver.open_volume(volume) as source:
        return source.pread(len(CONTENT), 0)


def test_many_creates_at_once_make_one_download(start):
    cloud = start()
    add(cloud, "a")
    with cloud.running():
        made = [cloud.create(size=2, image_ref="a") for _ in range(12)]
        for volume in made:
            assert cloud.settled(volume.id).state == "succeeded"
    assert cloud.images.opened == ["a"]
    assert all(content(cloud, cloud.volume(volume.id)) == CONTENT for volume in made)
    assert all(rung(cloud, volume) == ["cached"] for volume in made)


def test_the_cache_belongs_to_the_internal_tenant_and_costs_no_quota(start):
    cloud = start()
    add(cloud, "a")
    with cloud.running():
        cloud.made(size=2, image_ref="a")
    with cloud.database.read() as connection:
        (entry,) = image_cache.of_backend(connection, cloud.backend.name)
        volume = volumes.get(connection, entry.volume_id)
    assert volume.project_id == cloud.settings.cinder_internal_tenant_project_id
    assert not volume.consumes_quota
    assert (volume.status, volume.size, entry.size) == ("available", 1, 1)


def test_what_was_unused_for_longest_makes_room(start):
    cloud = start(count=2)
    for name in "abc":
        add(cloud, name)
    with cloud.running():
        for name in ("a", "b", "a", "c"):
            assert cloud.made(size=1, image_ref=name).status == "available"
    assert entries(cloud) == ["a", "c"]
    assert cloud.images.opened == ["a", "b", "c"]
    assert cloud.count("volumes") == 4 + 2
    assert len(list(cloud.driver.list_objects())) == 4 + 2


def test_an_image_larger_than_the_cache_is_downloaded_without_it(start):
    cloud = start(size=1)
    add(cloud, "small")
    big = add(cloud, "big", size=len(CONTENT), virtual_size=None)
    assert big
    with cloud.running():
        cloud.made(size=1, image_ref="small")
        cloud.images.images["big"] = msgspec.structs.replace(cloud.images.images["big"], size=(1 << 30) + 4096)
        cloud.images.content["big"] = CONTENT + bytes((1 << 30) + 4096 - len(CONTENT))
        volume = cloud.made(size=2, image_ref="big")
    assert (volume.status, rung(cloud, volume)) == ("available", ["download"])
    (operation,) = cloud.operations(volume.id)
    reason = next(one.reason for one in operation.answers if one.step == "cached")
    assert reason == "the image's 2 GiB are more than the cache may hold"
    assert entries(cloud) == ["small"]


@pytest.mark.parametrize("change", [{"updated_at": "2026-02-02T00:00:00.000000"}, {"checksum": "other"}])
def test_a_changed_image_is_fetched_again(start, monkeypatch, change):
    cloud = start()
    add(cloud, "a")
    with cloud.running():
        cloud.made(size=1, image_ref="a")
        newer = CONTENT.upper()
        if "checksum" in change:
            change = {"checksum": hashlib.md5(newer, usedforsecurity=False).hexdigest()}
        cloud.images.images["a"] = msgspec.structs.replace(cloud.images.images["a"], **change)
        cloud.images.content["a"] = newer
        volume = cloud.made(size=1, image_ref="a")
    assert content(cloud, volume) == newer
    assert cloud.images.opened == ["a", "a"]
    assert entries(cloud) == ["a"]
    assert len(list(cloud.driver.list_objects())) == 3


def test_a_fill_that_fails_leaves_no_entry_and_the_next_rung_is_tried(start, monkeypatch):
    cloud = start()
    add(cloud, "a")
    copy = cloud.driver.copy_image_to_volume
    broken = threading.Event()

    def once(volume, named, fill):
        if not broken.is_set():
            broken.set()
            raise BackendOutOfSpace
        copy(volume, named, fill)

    monkeypatch.setattr(cloud.driver, "copy_image_to_volume", once)
    with cloud.running():
        volume = cloud.made(size=1, image_ref="a")
    assert (volume.status, rung(cloud, volume)) == ("available", ["download"])
    assert entries(cloud) == []
    assert list(cloud.driver.list_objects()) == [volume.storage_name]


def test_a_wrong_checksum_makes_neither_entry_nor_volume(start):
    cloud = start()
    add(cloud, "a", checksum="0" * 32)
    with cloud.running():
        volume = cloud.made(size=1, image_ref="a")
    assert volume.status == "error"
    assert "checksum" in cloud.operations(volume.id)[0].message
    assert entries(cloud) == []
    assert list(cloud.driver.list_objects()) == []
    assert cloud.count("volumes") == 1


def test_a_cache_volume_that_went_away_is_made_again(start):
    cloud = start()
    add(cloud, "a")
    with cloud.running():
        cloud.made(size=1, image_ref="a")
        with cloud.database.begin() as connection:
            (entry,) = image_cache.of_backend(connection, cloud.backend.name)
            volumes.remove(connection, entry.volume_id)
        volume = cloud.made(size=1, image_ref="a")
    assert (volume.status, rung(cloud, volume)) == ("available", ["cached"])
    assert entries(cloud) == ["a"]
    assert cloud.images.opened == ["a", "a"]


def test_a_fill_cut_short_is_removed_when_another_flow_has_filled_the_cache_meanwhile(start):
    cloud = start()
    add(cloud, "image")
    with cloud.running():
        cloud.made(size=1, image_ref="image")
    late = cloud.create(size=1, image_ref="image")
    (operation,) = cloud.operations(late.id)
    (entry,) = cached_volumes(cloud)
    begun = msgspec.structs.replace(
        entry, id=str(uuid.uuid5(uuid.UUID(operation.id), "image-cache:image")), status="creating"
    )
    with cloud.database.begin() as connection:
        volumes.insert(connection, begun)
        outbox.volume_event(connection, "create.start", begun, operation.id)
    with cloud.running():
        assert cloud.settled(late.id).state == "succeeded"
    assert cached_volumes(cloud) == [entry]


def cached_volumes(cloud):
    with cloud.database.read() as connection:
        found = volumes.on_backend(connection, cloud.backend.name)
    return [one for one in found if not one.consumes_quota]
