"""Pools and services, as several workers report them; and a database that goes away while a process starts."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from breezeblock.db import migrate, pools
from breezeblock.db.connect import Database
from breezeblock.errors import DatabaseUnavailable
from breezeblock.images.local import LocalCatalog
from breezeblock.images.open import open_catalog
from tests.cloud import Cloud

NOW = "2026-01-01T00:00:00.000000"


def test_two_backends_report_their_host_for_the_first_time_at_once(postgres_url):
    database = Database(postgres_url)
    migrate.upgrade(database)

    def report():
        with database.begin() as connection:
            pools.report_service(connection, "host", "cinder-scheduler", "nova", NOW)

    with ThreadPoolExecutor(1) as threads, psycopg.connect(postgres_url.replace("+psycopg", "")) as looking:
        with database.begin() as connection:
            pools.report_service(connection, "host", "cinder-scheduler", "nova", NOW)
            second = threads.submit(report)
            deadline = time.monotonic() + 30
            while not looking.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
                assert time.monotonic() < deadline
        second.result(30)
    database.close()


def test_a_database_that_goes_away_while_a_process_starts_is_waited_for(tmp_path, monkeypatch):
    cloud = Cloud(tmp_path, "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = simulated\n")
    answers = iter([DatabaseUnavailable("The database does not answer."), None])

    def recover(self):
        if error := next(answers):
            raise error

    monkeypatch.setattr(LocalCatalog, "recover", recover)
    assert isinstance(open_catalog(cloud.settings, cloud.database), LocalCatalog)
    assert list(answers) == []
    cloud.close()
