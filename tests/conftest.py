"""Fixtures for all tests: databases, and an end to what tests opened."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.cloud import Cloud

MOST_DESCRIPTORS = 300


@pytest.fixture(autouse=True)
def no_cloud_stays_open() -> Iterator[None]:
    """Closing a `Cloud` checks its events: none gets away with a test that forgot, or broke off."""
    yield
    while Cloud.open_ones:
        Cloud.open_ones[-1].close()


@pytest.fixture(scope="session", autouse=True)
def few_descriptors_stay_open() -> Iterator[None]:
    """Whatever tests and product open they also close: one leak a test would be a thousand in a run of all."""
    yield
    open_now = Counter(_name_of(descriptor) for descriptor in os.listdir("/proc/self/fd"))
    assert open_now.total() < MOST_DESCRIPTORS, f"open at the end: {open_now.most_common(10)}"


def _name_of(descriptor: str) -> str:
    try:
        return re.sub(r":?\[\w+\]$", "", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
    except FileNotFoundError:
        return "the list itself"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """The run's private PostgreSQL, started when the first test asks for it."""
    cluster = postgres.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def postgres_url(postgres_cluster: postgres.Cluster) -> Iterator[str]:
    """The SQLAlchemy URL (`postgresql+psycopg://`) of a fresh, empty database."""
    with postgres.fresh_database(postgres_cluster) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of a fresh, empty database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'breezeblock.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
