"""Many API processes place at once: together they never promise more than there is."""

import multiprocessing

import pytest

from breezeblock import config
from breezeblock.db.connect import Database
from breezeblock.errors import OverQuota
from breezeblock.services.volumes import CreateVolume, create_volume
from tests.cloud import MEMBER, Cloud, Images

CONF = """
[DEFAULT]
enabled_backends = one
quota_volumes = {volumes}
[one]
volume_driver = simulated
simulated_capacity_gb = 10
max_over_subscription_ratio = 1.0
"""
PROCESSES, EACH = 4, 5


def creates(data_dir, url, answers):
    """What an API process does: some creates, one after the other; how many were accepted and refused."""
    settings = config.load(data_dir, database_url=url)
    database = Database(url)
    accepted = refused = 0
    for _ in range(EACH):
        try:
            made = create_volume(database, settings, Images(), MEMBER, CreateVolume(size=1))
        except OverQuota:
            refused += 1
            continue
        accepted += made.status == "creating"
        refused += made.status == "error"
    database.close()
    answers.put((accepted, refused))


@pytest.mark.parametrize(("volumes", "fit"), [(1000, 10), (7, 7)], ids=["capacity", "quota"])
def test_processes_at_once_take_what_there_is_and_no_more(tmp_path, database_url, volumes, fit):
    cloud = Cloud(tmp_path, CONF.format(volumes=volumes), database_url)
    cloud.leaves_flows = True  # there is no worker
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    processes = [spawn.Process(target=creates, args=(tmp_path, database_url, answers)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    told = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
        process.close()
    answers.close()
    assert sum(accepted for accepted, _ in told) == fit
    assert sum(refused for _, refused in told) == PROCESSES * EACH - fit
    assert cloud.count("volumes WHERE host IS NOT NULL") == fit
    cloud.close()
