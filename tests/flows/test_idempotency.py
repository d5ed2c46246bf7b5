"""A POST repeated with its Idempotency-Key makes nothing twice."""

import threading

import msgspec
import pytest

from breezeblock.db import idempotency
from breezeblock.errors import Conflict, InvalidInput, NotFound
from breezeblock.services import snapshots, volumes
from breezeblock.services.volumes import CreateVolume
from tests.cloud import ADMIN, MEMBER, Cloud

SIMULATED = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = simulated\n"


@pytest.fixture
def cloud(tmp_path, database_url):
    cloud = Cloud(tmp_path, SIMULATED, database_url)
    cloud.leaves_flows = True  # there is no worker
    yield cloud
    cloud.close()


def create(cloud, key, context=MEMBER, **wanted):
    request = CreateVolume(**{"size": 1} | wanted)
    return volumes.create_volume(cloud.database, cloud.settings, cloud.images, context, request, key)


def test_the_second_request_gets_the_first_ones_volume(cloud):
    first = create(cloud, "key")
    with cloud.running():
        cloud.settled(first.id)
    again = create(cloud, "key")
    assert (again.id, again.status) == (first.id, "available")
    assert create(cloud, "other").id != first.id
    assert create(cloud, None).id != create(cloud, None).id
    assert [cloud.count(table) for table in ("volumes", "operations")] == [4, 4]


def test_a_key_with_another_request_is_a_conflict(cloud):
    create(cloud, "key")
    with pytest.raises(Conflict, match="another request"):
        create(cloud, "key", size=2)
    assert cloud.count("volumes") == 1


def test_a_key_is_its_projects_own(cloud):
    first = create(cloud, "key")
    other = msgspec.structs.replace(MEMBER, project_id="other")
    assert create(cloud, "key", context=other).id != first.id


def test_many_at_once_make_one(cloud):
    made = []
    threads = [threading.Thread(target=lambda: made.append(create(cloud, "key").id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert cloud.count("volumes") == 1


def test_a_refused_request_keeps_no_key(cloud):
    with pytest.raises(NotFound):
        create(cloud, "key", volume_type="absent")
    assert create(cloud, "key").status == "creating"


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_length(cloud, key):
    with pytest.raises(InvalidInput, match="1 to 255"):
        create(cloud, key)


def test_a_key_is_forgotten_after_a_day(cloud, monkeypatch):
    first = create(cloud, "key")
    monkeypatch.setattr(idempotency, "KEPT_SECONDS", -1)
    assert create(cloud, "key").id != first.id


def test_snapshots_too(cloud):
    with cloud.running():
        volume = cloud.made(size=1)

    def take(name):
        return snapshots.create_snapshot(
            cloud.database, cloud.settings, ADMIN, volume_id=volume.id, name=name, idempotency_key="key"
        )

    first = take("a")
    assert take("a").id == first.id
    with pytest.raises(Conflict):
        take("b")
    assert cloud.count("snapshots") == 1
