"""A storage that fails at a create is not tried again: the next pool is, and explain says so."""

import pytest

from breezeblock.db import operations, pools, volume_types
from breezeblock.drivers.registry import open_driver
from breezeblock.errors import InvalidInput
from breezeblock.model import clock
from breezeblock.model.volume_type import VolumeType
from tests.cloud import Cloud

POOLS = """
[DEFAULT]
enabled_backends = one
scheduler_max_attempts = {attempts}
[one]
volume_driver = simulated
pool_name = a,b,c,d
simulated_failures = {failures}
"""


@pytest.fixture
def start(tmp_path):
    clouds = []

    def begin(failures, attempts=3):
        cloud = Cloud(tmp_path, POOLS.format(failures=failures, attempts=attempts))
        clouds.append(cloud)
        return cloud

    yield begin
    for cloud in clouds:
        cloud.close()


def creates(cloud):
    return [call.ids for call in cloud.driver.calls if call.verb == "create_volume"]


def test_the_next_pool_makes_it(start):
    cloud = start("create_volume:error:1")
    with cloud.running():
        volume = cloud.made(size=1)
    first = "localhost@one#d"
    assert (volume.status, volume.host) == ("available", "localhost@one#c")
    (operation,) = cloud.operations(volume.id)
    told = [(one.step, one.reason) for one in operation.answers if one.outcome in {"made", "refused"}]
    assert ("reschedule", f"{first} failed: Simulated failure of create_volume: error.") in told
    assert ("placement", f"{first}: it failed before") in told


def test_three_attempts_at_three_pools(start):
    cloud = start("create_volume:error:9")
    with cloud.running():
        volume = cloud.made(size=1)
    assert volume.status == "error"
    assert len(creates(cloud)) == 3
    (operation,) = cloud.operations(volume.id)
    assert len([one for one in operation.answers if one.step == "reschedule"]) == 2
    assert list(cloud.driver.list_objects()) == []


def test_no_pool_is_tried_twice(start):
    cloud = start("create_volume:error:99", attempts=99)
    with cloud.running():
        volume = cloud.made(size=1)
    assert volume.status == "error"
    assert len(creates(cloud)) == 4


def test_an_unremovable_rest_is_not_left_behind_for_another_try(start):
    cloud = start("create_volume:error:9,delete_volume:error:1")
    with cloud.running():
        volume = cloud.made(size=1)
    assert volume.status == "error"
    assert len(creates(cloud)) == 1


def test_another_backend_takes_over(tmp_path):
    """The request goes to the other backend's slot, whose owner runs it from the beginning."""
    conf = """
[DEFAULT]
enabled_backends = one,two
[one]
volume_driver = simulated
simulated_capacity_gb = 100
simulated_failures = create_volume:transient:1
[two]
volume_driver = simulated
simulated_capacity_gb = 50
"""
    cloud = Cloud(tmp_path, conf)
    cloud.leaves_flows = True  # the other backend has no worker
    two = open_driver(cloud.settings.backends[1])
    with cloud.database.begin() as connection:
        pools.report(connection, "localhost@two", two.get_volume_stats())
    volume = cloud.create(size=1)
    assert volume.host == "localhost@one#one"
    with cloud.running():
        while cloud.volume(volume.id).host == volume.host:
            pass
    assert cloud.volume(volume.id).host == "localhost@two#two"
    with cloud.database.read() as connection:
        (request,) = operations.pending(connection, "localhost@two#0")
        assert operations.pending(connection, "localhost@one#0") == []
    assert request.arguments["tried"] == ["localhost@one#one"]
    cloud.close()


def make_type(cloud, deadline):
    with cloud.database.begin() as connection:
        kind = VolumeType(id="hasty", name="hasty", extra_specs={"creation_deadline": deadline}, created_at=clock.now())
        volume_types.insert(connection, kind)


def test_a_create_that_takes_longer_than_its_type_allows_is_undone(start):
    cloud = start("")
    make_type(cloud, "0")
    with cloud.running():
        volume = cloud.made(size=1, volume_type="hasty")
    assert volume.status == "error"
    assert "creation_deadline" in cloud.operations(volume.id)[0].message
    assert list(cloud.driver.list_objects()) == []


def test_a_deadline_in_the_future_is_kept(start):
    cloud = start("")
    make_type(cloud, "600")
    with cloud.running():
        assert cloud.made(size=1, volume_type="hasty").status == "available"


def test_a_deadline_that_is_no_number_is_refused(start):
    cloud = start("")
    make_type(cloud, "soon")
    with pytest.raises(InvalidInput, match="soon"):
        cloud.create(size=1, volume_type="hasty")
    assert cloud.count("volumes") == 0
