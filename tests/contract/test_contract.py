"""Every scenario on Breezeblock, beside what the real Cinder 29 answered to it.

The scenarios take turns with the databases; with BREEZEBLOCK_CONTRACT=all each runs on both. The name of a test tells
which one it is on.
"""

import functools
import os

import pytest

from tests import postgres
from tests.contract import comparison, ours, recorded
from tests.contract.caller import Caller
from tests.contract.exemptions import EXEMPTIONS, rows
from tests.contract.scenarios import SCENARIOS

ALL = os.environ.get("BREEZEBLOCK_CONTRACT") == "all"
DATABASES = ("sqlite", "postgresql")
RUNS = [
    (name, database)
    for number, name in enumerate(sorted(SCENARIOS))
    for turn, database in enumerate(DATABASES)
    if ALL or number % len(DATABASES) == turn
]


@functools.cache
def known():
    return comparison.kinds_of(recorded.read(name) for name in recorded.names())


@pytest.fixture(scope="session")
def differences_of(tmp_path_factory, request):
    """All differences of a scenario on a database; each runs once, on a service of its own."""

    def answered(name, url):
        with ours.running(tmp_path_factory.mktemp("service"), url) as service:
            caller = Caller(service)
            SCENARIOS[name](caller)
        return list(comparison.differences(recorded.read(name), caller.steps, known()))

    @functools.cache
    def run(name, database):
        if database == "sqlite":
            return answered(name, None)
        with postgres.fresh_database(request.getfixturevalue("postgres_cluster")) as url:
            return answered(name, url)

    return run


def test_every_scenario_is_recorded():
    assert recorded.names() == sorted(SCENARIOS)


@pytest.mark.parametrize(("name", "database"), RUNS)
def test_answers_as_cinder(differences_of, name, database):
    unintended = [
        f"{step}\n    {place}: {said}"
        for step, place, said in differences_of(name, database)
        if not any(one.covers(name, step, place, said) for one in EXEMPTIONS)
    ]
    assert not unintended, f"{len(unintended)} differences:\n" + "\n".join(unintended)


def test_every_exemption_is_met(differences_of):
    found = [(name, *difference) for name, database in RUNS for difference in differences_of(name, database)]
    idle = [one for one in EXEMPTIONS if not any(one.covers(*difference) for difference in found)]
    assert idle == []


def test_every_exemption_has_its_row():
    assert {one.row for one in EXEMPTIONS} - rows() == set()
