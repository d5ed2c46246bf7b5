"""Every scenario on Breezeblock, beside what the real Cinder 29 answered to it."""

import functools

import pytest

from tests.contract import comparison, ours, recorded
from tests.contract.caller import Caller
from tests.contract.exemptions import EXEMPTIONS, rows
from tests.contract.scenarios import SCENARIOS


@functools.cache
def known():
    return comparison.kinds_of(recorded.read(name) for name in recorded.names())


@pytest.fixture(scope="session")
def differences_of(tmp_path_factory):
    """All differences of a scenario; each scenario runs once, on a service of its own."""

    @functools.cache
    def run(name):
        with ours.running(tmp_path_factory.mktemp("service")) as service:
            caller = Caller(service)
            SCENARIOS[name](caller)
        return list(comparison.differences(recorded.read(name), caller.steps, known()))

    return run


def test_every_scenario_is_recorded():
    assert recorded.names() == sorted(SCENARIOS)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_answers_as_cinder(differences_of, name):
    unintended = [
        f"{step}\n    {place}: {said}"
        for step, place, said in differences_of(name)
        if not any(one.covers(name, step, place, said) for one in EXEMPTIONS)
    ]
    assert not unintended, f"{len(unintended)} differences:\n" + "\n".join(unintended)


def test_every_exemption_is_met(differences_of):
    found = [(name, *difference) for name in SCENARIOS for difference in differences_of(name)]
    idle = [one for one in EXEMPTIONS if not any(one.covers(*difference) for difference in found)]
    assert idle == []


def test_every_exemption_has_its_row():
    assert {one.row for one in EXEMPTIONS} - rows() == set()
