"""Creates of one image that come together, without the image cache: one download, and clones of what it brought."""

import threading

import pytest

from breezeblock.errors import BackendInUse, ServiceUnavailable
from breezeblock.flows.engine import WorkerStopping
from breezeblock.services import volumes as volume_services
from breezeblock.services.doctor.examine import examine
from breezeblock.services.operations import cancel_operation
from tests.cloud import ADMIN, MEMBER, Cloud
from tests.flows.test_image_cache import CONTENT, Gate, add, answers, content, operation_of, until, waiting

CONF = """
[DEFAULT]
enabled_backends = one
flow_threads = 2
[one]
volume_driver = {driver}
image_volume_cache_enabled = false
"""


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path, database_url):
    if request.param == "directory" and not database_url.startswith("sqlite"):
        pytest.skip("the other driver runs on both databases")
    cloud = Cloud(tmp_path, CONF.format(driver=request.param), database_url)
    add(cloud, "a")
    yield cloud
    cloud.close()


def made_by(cloud, volume):
    return [one.step for one in answers(cloud, volume) if one.outcome == "made" and one.step in {"shared", "download"}]


def require_only(cloud, volumes):
    """These volumes with their content, and nothing else: no copy is left."""
    assert all(content(cloud, cloud.volume(volume.id)) == CONTENT for volume in volumes)
    until(lambda: cloud.count("volumes") == len(volumes))
    until(lambda: cloud.count("flow_requests") == 0)
    assert cloud.count("flow_checkpoints") == 0
    assert len(list(cloud.driver.list_objects())) == len(volumes)


def test_creates_that_come_together_make_one_download(cloud, monkeypatch):
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        first = cloud.create(size=3, image_ref="a")
        gate.is_reached()
        others = [cloud.create(size=size, image_ref="a") for size in (1, 2, 3, 4, 1)]
        until(lambda: all(waiting(cloud, others)))
        fetches = operation_of(cloud, first).id
        assert set(waiting(cloud, others)) == {fetches}
        assert operation_of(cloud, others[0]).waiting == f"waits for operation {fetches}, which fetches the image"
        assert cloud.volume(others[0].id).status == "downloading"
        assert cloud.made(size=1).status == "available"
        gate.open()
        for volume in (first, *others):
            assert cloud.settled(volume.id).state == "succeeded"
        assert cloud.images.opened == ["a"]
        assert made_by(cloud, first) == ["download"]
        assert all(made_by(cloud, volume) == ["shared", "download"] for volume in others)
        assert [cloud.volume(volume.id).size for volume in others] == [1, 2, 3, 4, 1]
        volume_services.delete_volume(cloud.database, MEMBER, first.id)
        cloud.settled(first.id)
        until(lambda: cloud.count("volumes") == 6)
        assert all(content(cloud, cloud.volume(volume.id)) == CONTENT for volume in others)
        assert examine(cloud.settings, cloud.database) == []


def test_a_create_alone_leaves_no_copy(cloud):
    with cloud.running():
        volume = cloud.made(size=2, image_ref="a")
        assert [one.step for one in answers(cloud, volume)][-2:] == ["download", "bootable"]
        require_only(cloud, [volume])
        again = cloud.made(size=2, image_ref="a")
        assert cloud.images.opened == ["a", "a"]
        require_only(cloud, [volume, again])


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_where_the_first_one_ends_without_a_volume_another_one_fetches_for_the_rest(cloud, monkeypatch, how):
    reached, go_on, second = threading.Event(), threading.Event(), threading.Event()
    gate = Gate(cloud, monkeypatch, "create_volume") if how == "is cancelled" else None
    opened, read = cloud.images.open, cloud.images.read

    def by_the_first(image_id, offset=0):
        reached.set()
        if how == "fails":
            assert go_on.wait(30)
            raise ServiceUnavailable("The image service is away.")
        return opened(image_id, offset)

    def by_the_second(image_id, length, offset):
        """It has waited, and reads the beginning, which is the whole image, by a range."""
        assert second.wait(30)
        return read(image_id, length, offset)

    monkeypatch.setattr(cloud.images, "open", by_the_first)
    monkeypatch.setattr(cloud.images, "read", by_the_second)
    with cloud.running():
        first = cloud.create(size=1, image_ref="a")
        assert reached.wait(30)
        if gate is not None:
            gate.is_reached()
        others = [cloud.create(size=1, image_ref="a") for _ in range(4)]
        until(lambda: all(waiting(cloud, others)))
        if gate is not None:
            cancel_operation(cloud.database, ADMIN, operation_of(cloud, first).id)
            gate.open()
        go_on.set()
        assert cloud.settled(first.id).state == ("failed" if how == "fails" else "cancelled")
        until(lambda: len(set(waiting(cloud, others))) == 2 and waiting(cloud, others).count(None) == 1)
        second.set()
        for volume in others:
            assert cloud.settled(volume.id).state == "succeeded"
        steps = sorted(made_by(cloud, volume) for volume in others)
        assert steps == [["download"], *[["shared", "download"]] * 3]
        volume_services.delete_volume(cloud.database, MEMBER, first.id)
        require_only(cloud, others)


def test_one_that_waits_may_be_cancelled_and_then_no_copy_is_left(cloud, monkeypatch):
    gate = Gate(cloud, monkeypatch)
    with cloud.running():
        first = cloud.create(size=1, image_ref="a")
        gate.is_reached()
        other = cloud.create(size=1, image_ref="a")
        until(lambda: all(waiting(cloud, [other])))
        cancel_operation(cloud.database, ADMIN, operation_of(cloud, other).id)
        assert cloud.settled(other.id).state == "cancelled"
        gate.open()
        assert cloud.settled(first.id).state == "succeeded"
        volume_services.delete_volume(cloud.database, MEMBER, other.id)
        require_only(cloud, [first])


def test_where_no_copy_can_be_made_each_fetches_for_itself(cloud, monkeypatch):
    gate = Gate(cloud, monkeypatch)

    def refuse(volume, source, **more):
        raise BackendInUse("No clones today.")

    monkeypatch.setattr(cloud.driver, "create_cloned_volume", refuse)
    with cloud.running():
        first = cloud.create(size=1, image_ref="a")
        gate.is_reached()
        others = [cloud.create(size=1, image_ref="a") for _ in range(3)]
        until(lambda: all(waiting(cloud, others)))
        gate.open()
        for volume in (first, *others):
            assert cloud.settled(volume.id).state == "succeeded"
        told = [(one.outcome, one.reason) for one in answers(cloud, first) if one.step == "copy_for_others"]
        assert told == [("declined", "No clones today.")]
        assert all(made_by(cloud, volume) == ["download"] for volume in others)
        require_only(cloud, [first, *others])


def test_the_next_owner_makes_the_copy_for_those_who_go_on_waiting(cloud, monkeypatch):
    clone, stopped = cloud.driver.create_cloned_volume, threading.Event()
    gate = Gate(cloud, monkeypatch)

    def dying(*arguments, **more):
        if not stopped.is_set():
            stopped.set()
            raise WorkerStopping
        return clone(*arguments, **more)

    monkeypatch.setattr(cloud.driver, "create_cloned_volume", dying)
    with cloud.running():
        first = cloud.create(size=1, image_ref="a")
        gate.is_reached()
        others = [cloud.create(size=1, image_ref="a") for _ in range(3)]
        until(lambda: all(waiting(cloud, others)))
        gate.open()
        assert stopped.wait(30)
        assert [one.kind for one in examine(cloud.settings, cloud.database)] == []
    with cloud.running():
        for volume in (first, *others):
            assert cloud.settled(volume.id).state == "succeeded"
        assert cloud.images.opened == ["a"]
        require_only(cloud, [first, *others])
