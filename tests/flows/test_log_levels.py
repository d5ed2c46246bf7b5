"""A worker logs as an administrator has said through the API."""

import logging

from breezeblock import worker
from breezeblock.db import pools
from breezeblock.model import clock
from breezeblock.services import storage_services
from tests.cloud import Cloud

CONF = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = simulated\n"


def test_a_worker_heeds_what_is_set(tmp_path):
    cloud = Cloud(tmp_path, CONF)
    own = cloud.settings.backends[0]
    owned = worker._Owned(cloud.settings, cloud.database, cloud.images, own, 0)
    loggers = [logging.getLogger(f"breezeblock.of_a_test.{name}") for name in ("a", "b")]
    with cloud.database.begin() as connection:
        pools.report_service(connection, own.backend, "cinder-volume", "nova", clock.now())
    owned._heed_log_levels()
    assert [logger.level for logger in loggers] == [logging.NOTSET, logging.NOTSET]
    for level in ("DEBUG", "ERROR"):
        storage_services.set_log_levels(cloud.database, None, ["cinder-volume"], loggers[0].name, level)
        owned._heed_log_levels()
        assert [logging.getLevelName(logger.level) for logger in loggers] == [level, "NOTSET"]
    cloud.close()
