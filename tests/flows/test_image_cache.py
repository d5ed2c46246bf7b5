"""The image-volume cache: one download, clones after that, limits kept by dropping what was unused for longest."""

import hashlib
import threading
import time

import msgspec
import pytest
import sqlalchemy as sa

from breezeblock.db import image_cache, operations, volumes
from breezeblock.errors import BackendOutOfSpace, ServiceUnavailable
from breezeblock.flows.engine import WorkerStopping
from breezeblock.model.image import Image
from breezeblock.services.operations import cancel_operation
from tests.cloud import ADMIN, Cloud

CONF = """
[DEFAULT]
enabled_backends = one
flow_threads = 2
[one]
volume_driver = simulated
image_volume_cache_max_count = {count}
image_volume_cache_max_size_gb = {size}
"""
CONTENT = b"image " * 1000


@pytest.fixture
def start(tmp_path, database_url):
    clouds = []

    def begin(count=0, size=0):
        cloud = Cloud(tmp_path, CONF.format(count=count, size=size), database_url)
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


def answers(cloud, volume):
    (operation,) = cloud.operations(volume.id)
    return operation.answers


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


def test_a_clone_of_the_cache_takes_few_commits(start):
    """The request's, the lease, how far the copy of this storage is, and the end; what the rungs before it answered is
    written with the lease."""
    cloud = start()
    add(cloud, "a")
    with cloud.running():
        cloud.made(size=2, image_ref="a")
        commits = []
        sa.event.listen(cloud.database.engine, "commit", lambda connection: commits.append(1))
        volume = cloud.made(size=2, image_ref="a")
    assert len(commits) == 4
    assert [one.step for one in answers(cloud, volume)][-4:] == ["driver_clone", "image_volume", "cached", "bootable"]


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


def test_each_look_and_each_eviction_is_told_once(start):
    cloud = start(count=1)
    for name in "ab":
        add(cloud, name)
    with cloud.running():
        for name in "aab":
            cloud.made(size=1, image_ref=name)
    told = [event for event in cloud.events() if event.type.startswith("image_volume_cache.")]
    assert [(event.type.rpartition(".")[2], event.payload["image_id"]) for event in told] == [
        ("miss", "a"),
        ("hit", "a"),
        ("miss", "b"),
        ("evict", "a"),
    ]
    assert {event.payload["host"].partition("#")[0] for event in told} == {cloud.backend.name}
    internal = cloud.settings.cinder_internal_tenant_project_id
    assert [event.project_id for event in told] == ["project", "project", "project", internal]


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
    reason = next(one.reason for one in answers(cloud, volume) if one.step == "cached")
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
    (error,) = (event for event in cloud.events() if event.type == "volume.create.error")
    assert error.payload["error"] == BackendOutOfSpace().message


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


def cached_volumes(cloud):
    with cloud.database.read() as connection:
        found = volumes.on_backend(connection, cloud.backend.name)
    return [one for one in found if not one.consumes_quota]


class Gate:
    """Holds every fill at its beginning until it is opened."""

    def __init__(self, cloud, monkeypatch, verb="copy_image_to_volume"):
        self.reached, self._open = threading.Semaphore(0), threading.Event()
        held = getattr(cloud.driver, verb)

        def waiting(*arguments):
            self.reached.release()
            assert self._open.wait(30)
            return held(*arguments)

        monkeypatch.setattr(cloud.driver, verb, waiting)

    def is_reached(self):
        assert self.reached.acquire(timeout=30)

    def open(self):
        self._open.set()


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def operation_of(cloud, volume):
    (operation,) = cloud.operations(volume.id)
    return operation


def fills(cloud):
    with cloud.database.read() as connection:
        ids = connection.exec_driver_sql(
            "SELECT id FROM operations WHERE kind = 'fill_image_cache' ORDER BY created_at"
        )
        return [operations.get(connection, one) for one in ids.scalars()]


def waiting(cloud, made):
    return [operation_of(cloud, volume).waits_for for volume in made]


def cache_events(cloud):
    return sorted(event.type for event in cloud.events() if event.resource_type == "image")


def test_those_who_wait_hold_no_thread_and_say_what_they_wait_for(start, monkeypatch):
    """Two threads, one of which fills: sixteen creates wait, and an empty volume is made meanwhile."""
    cloud = start()
    add(cloud, "a")
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        made = [cloud.create(size=2, image_ref="a") for _ in range(16)]
        gate.is_reached()
        until(lambda: all(waiting(cloud, made)))
        (fill,) = fills(cloud)
        operation = operation_of(cloud, made[7])
        assert set(waiting(cloud, made)) == {fill.id}
        assert (operation.state, operation.waiting) == ("running", f"waits for operation {fill.id} to fill the cache")
        assert cloud.volume(made[7].id).status == "downloading"
        assert cloud.made(size=1).status == "available"
        gate.open()
        for volume in made:
            assert cloud.settled(volume.id).state == "succeeded"
    assert cloud.images.opened == ["a"]
    assert all(content(cloud, cloud.volume(volume.id)) == CONTENT for volume in made)
    assert all(operation_of(cloud, volume).waits_for is None for volume in made)
    wait = next(one for one in answers(cloud, made[7]) if one.step == "wait")
    assert (wait.outcome, wait.seconds > 0) == ("waited", True)
    assert cache_events(cloud) == ["image_volume_cache.hit"] * 15 + ["image_volume_cache.miss"]


def test_the_next_owner_goes_on_with_the_fill_and_those_who_wait_go_on_waiting(start, monkeypatch):
    cloud = start()
    add(cloud, "a")
    copy, stopped = cloud.driver.copy_image_to_volume, threading.Event()

    def dying(*arguments):
        if not stopped.is_set():
            stopped.set()
            raise WorkerStopping
        copy(*arguments)

    monkeypatch.setattr(cloud.driver, "copy_image_to_volume", dying)
    made = [cloud.create(size=1, image_ref="a") for _ in range(4)]
    with cloud.running():
        assert stopped.wait(30)
        until(lambda: all(waiting(cloud, made)))
    assert len(fills(cloud)) == 1
    with cloud.running():
        for volume in made:
            assert cloud.settled(volume.id).state == "succeeded"
    assert [fill.state for fill in fills(cloud)] == ["succeeded"]
    assert len(cached_volumes(cloud)) == 1


def test_an_unacceptable_image_is_refused_to_all_who_wait_by_one_download(start, monkeypatch):
    cloud = start()
    add(cloud, "a", checksum="0" * 32)
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        made = [cloud.create(size=1, image_ref="a") for _ in range(5)]
        gate.is_reached()
        until(lambda: all(waiting(cloud, made)))
        gate.open()
        ended = [cloud.settled(volume.id) for volume in made]
    assert {(one.state, "checksum" in one.message) for one in ended} == {("failed", True)}
    assert cloud.images.opened == ["a"]
    assert {cloud.volume(volume.id).status for volume in made} == {"error"}
    assert (entries(cloud), list(cloud.driver.list_objects())) == ([], [])


def test_a_larger_volume_is_not_refused_for_what_a_smaller_one_asked(start, monkeypatch):
    cloud = start()
    add(cloud, "a", checksum="0" * 32)
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        made = [cloud.create(size=size, image_ref="a") for size in (1, 2)]
        until(lambda: all(waiting(cloud, made)))
        gate.open()
        for volume in made:
            cloud.settled(volume.id)
    assert [fill.answers[0].given["size"] for fill in fills(cloud)] in ([1, 2], [2])


def test_the_first_is_told_of_a_failure_and_the_next_one_tries(start, monkeypatch):
    cloud = start()
    add(cloud, "a")
    copy, failed, go = cloud.driver.copy_image_to_volume, threading.Event(), threading.Event()

    def unavailable_once(*arguments):
        assert go.wait(30)
        if not failed.is_set():
            failed.set()
            raise ServiceUnavailable("The image service does not answer.")
        copy(*arguments)

    monkeypatch.setattr(cloud.driver, "copy_image_to_volume", unavailable_once)
    with cloud.running():
        made = [cloud.create(size=1, image_ref="a") for _ in range(4)]
        until(lambda: all(waiting(cloud, made)))
        go.set()
        ended = [cloud.settled(volume.id) for volume in made]
    assert sorted(one.state for one in ended) == ["failed", "succeeded", "succeeded", "succeeded"]
    (told,) = [one.message for one in ended if one.state == "failed"]
    assert told == "The image service does not answer."
    assert [fill.state for fill in fills(cloud)] == ["failed", "succeeded"]
    assert entries(cloud) == ["a"]


def test_a_cancelled_create_waits_no_more_and_the_fill_goes_on_for_the_others(start, monkeypatch):
    cloud = start()
    add(cloud, "a")
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        made = [cloud.create(size=1, image_ref="a") for _ in range(3)]
        until(lambda: all(waiting(cloud, made)))
        cancel_operation(cloud.database, ADMIN, operation_of(cloud, made[0]).id)
        assert cloud.settled(made[0].id).state == "cancelled"
        assert cloud.volume(made[0].id).status == "error"
        gate.open()
        assert [cloud.settled(volume.id).state for volume in made[1:]] == ["succeeded", "succeeded"]
    assert [fill.state for fill in fills(cloud)] == ["succeeded"]


def test_a_fill_that_nobody_waits_for_any_more_ends_and_leaves_nothing(start, monkeypatch):
    cloud = start()
    add(cloud, "a")
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        made = [cloud.create(size=1, image_ref="a") for _ in range(2)]
        until(lambda: all(waiting(cloud, made)))
        gate.is_reached()
        for volume in made:
            cancel_operation(cloud.database, ADMIN, operation_of(cloud, volume).id)
            assert cloud.settled(volume.id).state == "cancelled"
        gate.open()
        until(lambda: fills(cloud)[0].state == "cancelled")
        assert (entries(cloud), list(cloud.driver.list_objects()), cached_volumes(cloud)) == ([], [], [])
        assert cloud.made(size=1, image_ref="a").status == "available"
    cloud.check_pairs()


def test_who_comes_while_a_cancelled_fill_ends_asks_for_another(start, monkeypatch):
    cloud = start()
    add(cloud, "a")
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        first = cloud.create(size=1, image_ref="a")
        gate.is_reached()
        cancel_operation(cloud.database, ADMIN, operation_of(cloud, first).id)
        cloud.settled(first.id)
        second = cloud.create(size=1, image_ref="a")
        until(lambda: waiting(cloud, [second])[0])
        gate.open()
        assert cloud.settled(second.id).state == "succeeded"
        until(lambda: sorted(fill.state for fill in fills(cloud)) == ["cancelled", "succeeded"])
    assert (entries(cloud), len(cached_volumes(cloud))) == (["a"], 1)


def test_a_cancelled_fill_cancels_those_who_wait_for_it(start, monkeypatch):
    cloud = start()
    add(cloud, "a")
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        made = [cloud.create(size=1, image_ref="a") for _ in range(3)]
        until(lambda: all(waiting(cloud, made)))
        cancel_operation(cloud.database, ADMIN, fills(cloud)[0].id)
        gate.open()
        assert {cloud.settled(volume.id).state for volume in made} == {"cancelled"}
    assert (entries(cloud), list(cloud.driver.list_objects())) == ([], [])


def test_an_entry_whose_fill_is_lost_is_filled_anew(start):
    cloud = start()
    add(cloud, "a")
    with cloud.database.begin() as connection:
        lost = image_cache.CacheEntry(
            backend=cloud.backend.name,
            image_id="a",
            image_updated_at="",
            checksum=None,
            volume_id="lost",
            size=0,
            last_used="",
            operation_id="lost",
        )
        image_cache.insert(connection, lost)
    with cloud.running():
        assert cloud.made(size=1, image_ref="a").status == "available"
    assert entries(cloud) == ["a"]


def test_what_is_being_cloned_is_not_dropped(start, monkeypatch):
    """The only one that could make room is leased: the other image is downloaded without the cache."""
    cloud = start(count=1)
    add(cloud, "a")
    add(cloud, "b")
    with cloud.running():
        cloud.made(size=1, image_ref="a")
        gate = Gate(cloud, monkeypatch, "create_cloned_volume")
        clone = cloud.create(size=1, image_ref="a")
        gate.is_reached()
        other = cloud.made(size=1, image_ref="b")
        assert (other.status, rung(cloud, other), entries(cloud)) == ("available", ["download"], ["a"])
        gate.open()
        assert cloud.settled(clone.id).state == "succeeded"
        cloud.made(size=1, image_ref="b")
    assert entries(cloud) == ["b"]


def test_what_is_pinned_is_not_dropped(start):
    cloud = start(count=2)
    for name in "abc":
        add(cloud, name)
    with cloud.running():
        cloud.made(size=1, image_ref="a")
        with cloud.database.begin() as connection:
            (entry,) = image_cache.of_backend(connection, cloud.backend.name)
            image_cache.update(connection, entry.volume_id, pinned=True)
        for name in "bc":
            cloud.made(size=1, image_ref=name)
    assert entries(cloud) == ["a", "c"]


def test_a_pin_stays_with_the_image_when_it_changes(start):
    cloud = start()
    add(cloud, "a")
    with cloud.running():
        cloud.made(size=1, image_ref="a")
        with cloud.database.begin() as connection:
            (entry,) = image_cache.of_backend(connection, cloud.backend.name)
            image_cache.update(connection, entry.volume_id, pinned=True)
        newer = {"updated_at": "2026-02-02T00:00:00.000000"}
        cloud.images.images["a"] = msgspec.structs.replace(cloud.images.images["a"], **newer)
        cloud.made(size=1, image_ref="a")
    with cloud.database.read() as connection:
        (newest,) = image_cache.of_backend(connection, cloud.backend.name)
    assert (newest.pinned, newest.volume_id != entry.volume_id) == (True, True)
