"""Copies of one backend: bounded in number and speed, fair between projects, and in nobody's way."""

import threading
import time

import pytest
import sqlalchemy as sa

from breezeblock.context import RequestContext
from breezeblock.db import operations, tables
from breezeblock.flows import engine
from breezeblock.flows.engine import WorkerStopping
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.services import backups
from breezeblock.services.operations import cancel_operation
from tests.cloud import ADMIN, MEMBER, Cloud

CONF = """
[DEFAULT]
enabled_backends = one
flow_threads = 2
[one]
volume_driver = simulated
image_volume_cache_enabled = false
max_parallel_copies = 1
volume_copy_bps_limit = {limit}
"""
CONTENT = b"image " * 200_000
IMAGES = [f"image-{number}" for number in range(7)]
"""One for each volume: creates of one image would share a copy."""


@pytest.fixture
def start(tmp_path, database_url):
    clouds = []

    def begin(limit=0):
        cloud = Cloud(tmp_path, CONF.format(limit=limit), database_url)
        for image_id in IMAGES:
            image = Image(
                id=image_id,
                name=image_id,
                disk_format="raw",
                container_format="bare",
                size=len(CONTENT),
                owner="project",
                updated_at="2026-01-01T00:00:00.000000",
            )
            cloud.images.add(image, CONTENT)
        clouds.append(cloud)
        return cloud

    yield begin
    for cloud in clouds:
        cloud.close()


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def operation_of(cloud, volume):
    return cloud.operations(volume.id)[0]


class Copies:
    """Holds each copy until it is let go; in which order they came."""

    def __init__(self, cloud, monkeypatch):
        self.order, self._next = [], threading.Semaphore(0)
        copy = cloud.driver.copy_image_to_volume

        def held(volume, content, fill):
            self.order.append(volume.id)
            assert self._next.acquire(timeout=30)
            return copy(volume, content, fill)

        monkeypatch.setattr(cloud.driver, "copy_image_to_volume", held)

    def let_go(self, count=1):
        for _ in range(count):
            self._next.release()


def test_copies_that_wait_hold_no_thread_and_projects_take_turns(start, monkeypatch):
    cloud = start()
    copies = Copies(cloud, monkeypatch)
    other = RequestContext(user_id="user", project_id="other", roles=("member",))
    with cloud.running():
        many = [cloud.create(size=1, image_ref=image) for image in IMAGES[:6]]
        until(lambda: sum(bool(operation_of(cloud, one).waiting) for one in many) == 5)
        assert "max_parallel_copies" in next(filter(None, (operation_of(cloud, one).waiting for one in many)))
        assert cloud.made(size=1).status == "available"
        late = cloud.create(other, size=1, image_ref=IMAGES[6])
        until(lambda: operation_of(cloud, late).waiting)
        copies.let_go(7)
        for volume in [*many, late]:
            assert cloud.settled(volume.id).state == "succeeded"
    assert copies.order.index(late.id) == 1
    assert sorted(copies.order) == sorted(one.id for one in [*many, late])


def test_a_copy_that_waits_for_its_turn_is_cancelled_at_once(start, monkeypatch):
    cloud = start()
    copies = Copies(cloud, monkeypatch)
    with cloud.running():
        first, second, third = (cloud.create(size=1, image_ref=image) for image in IMAGES[:3])
        until(lambda: sum(bool(operation_of(cloud, one).waiting) for one in (first, second, third)) == 2)
        waits = [one for one in (first, second, third) if operation_of(cloud, one).waiting]
        cancel_operation(cloud.database, ADMIN, operation_of(cloud, waits[0]).id)
        assert cloud.settled(waits[0].id).state == "cancelled"
        copies.let_go(2)
        assert cloud.settled(waits[1].id).state == "succeeded"
    assert waits[0].id not in copies.order


def test_a_copy_whose_deadline_passes_in_line_ends(start, monkeypatch):
    monkeypatch.setattr(engine, "SWEEP_SECONDS", 0.2)
    cloud = start()
    copies = Copies(cloud, monkeypatch)
    with cloud.running():
        first = cloud.create(size=1, image_ref=IMAGES[0])
        until(lambda: copies.order)
        late = cloud.create(size=1, image_ref=IMAGES[1])
        until(lambda: operation_of(cloud, late).waiting)
        with cloud.database.begin() as connection:
            (request,) = [
                one
                for one in operations.pending(connection, cloud.backend.slot)
                if one.id == operation_of(cloud, late).id
            ]
            changed = sa.update(tables.flow_requests).where(tables.flow_requests.c.id == request.id)
            connection.execute(changed.values(arguments={**request.arguments, "deadline": clock.now()}))
        assert cloud.settled(late.id).state == "failed"
        copies.let_go(1)
        assert cloud.settled(first.id).state == "succeeded"


def test_the_turn_of_a_copy_that_was_left_is_free_for_the_next_owner(start, monkeypatch):
    cloud = start()
    copy, stopped = cloud.driver.copy_image_to_volume, threading.Event()

    def dying(*arguments):
        if not stopped.is_set():
            stopped.set()
            raise WorkerStopping
        copy(*arguments)

    monkeypatch.setattr(cloud.driver, "copy_image_to_volume", dying)
    with cloud.running():
        made = [cloud.create(size=1, image_ref=image) for image in IMAGES[:3]]
        assert stopped.wait(30)
    with cloud.running():
        for volume in made:
            assert cloud.settled(volume.id).state == "succeeded"


def test_a_copy_that_is_held_back_by_the_limit_can_be_cancelled(start):
    """At a hundred bytes a second the second piece would come after most of an hour."""
    cloud = start(limit=100)
    with cloud.running():
        volume = cloud.create(size=1, image_ref=IMAGES[0])
        until(lambda: operation_of(cloud, volume).step == "download")
        cancel_operation(cloud.database, ADMIN, operation_of(cloud, volume).id)
        assert cloud.settled(volume.id).state == "cancelled"
    assert list(cloud.driver.list_objects()) == []


def test_backups_too_take_turns_and_keep_the_limit(start, monkeypatch):
    cloud = start(limit=1 << 30)
    asked = []
    wait = cloud.backend.pace.wait
    monkeypatch.setattr(
        cloud.backend.pace, "wait", lambda copy, size, look: (asked.append(size), wait(copy, size, look))
    )
    with cloud.running():
        volume = cloud.made(size=1, image_ref=IMAGES[0])
        assert sum(asked) == len(CONTENT)
        asked.clear()
        backup = backups.create_backup(
            cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id)
        )
        assert cloud.settled(backup.id).state == "succeeded"
        stored = sum(asked)
        assert stored >= len(CONTENT)
        asked.clear()
        restored = cloud.made(size=1, backup_id=backup.id)
        assert restored.status == "available"
        assert stored <= sum(asked) < stored + (128 << 10)  # zeros between runs of data are written up to a grain
    with cloud.driver.open_volume(restored) as source:
        assert source.pread(len(CONTENT), 0) == CONTENT


def test_a_backup_that_waits_is_of_the_moment_when_it_was_asked_for(start, monkeypatch):
    cloud = start()
    copies = Copies(cloud, monkeypatch)
    with cloud.running():
        volume = cloud.made(size=1)
        slow = cloud.create(size=1, image_ref=IMAGES[0])
        until(lambda: copies.order)
        backup = backups.create_backup(
            cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id)
        )
        until(lambda: operation_of(cloud, backup).waiting)
        assert [one.step for one in operation_of(cloud, backup).answers] == ["create_snapshot", "wait"]
        copies.let_go()
        assert cloud.settled(slow.id).state == "succeeded"
        assert cloud.settled(backup.id).state == "succeeded"
    steps = [(one.step, one.outcome) for one in operation_of(cloud, backup).answers]
    assert steps == [("create_snapshot", "done"), ("wait", "waited"), ("copy", "done"), ("delete_snapshot", "done")]
