"""The durable engine, on both databases: requests, wakes, checkpoints, restarts, cancel."""

import threading
import time

import pytest
import sqlalchemy as sa

from breezeblock.db import operations
from breezeblock.errors import BackendOutOfSpace, DatabaseUnavailable
from breezeblock.flows import engine as engine_module
from breezeblock.flows.engine import Engine, flow
from breezeblock.model import flows
from breezeblock.model.volume import Volume
from tests.cloud import MEMBER, Cloud

SIMULATED = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = simulated\n"


@pytest.fixture
def known_flows(monkeypatch):
    """The flows that tests here make up."""
    for name in ("test_steps", "test_hopeless", "test_long", "test_left"):
        monkeypatch.setitem(flows.VERSIONS, name, (1,))


@pytest.fixture
def cloud(tmp_path, database_url, known_flows):
    cloud = Cloud(tmp_path, SIMULATED, database_url)
    yield cloud
    cloud.close()


def test_each_version_of_each_flow_has_its_function():
    there = {(name, version) for name, versions in flows.VERSIONS.items() for version in versions}
    assert there <= engine_module._KINDS.keys()


def test_a_function_of_an_unknown_version_is_refused():
    with pytest.raises(LookupError, match="no version 7 of a flow create_volume"):
        flow("create_volume", abandon=lambda flow, error: None, version=7)


def request(cloud, name):
    with cloud.database.begin() as connection:
        request_in(connection, cloud, name)


def request_in(connection, cloud, name):
    operations.request_flow(
        connection,
        MEMBER,
        name,
        operation_id=f"op-{name}",
        resource=Volume(
            id="resource",
            project_id="project",
            user_id="user",
            size=1,
            status="available",
            host=f"{cloud.backend.name}#pool",
            created_at="",
        ),
        arguments={},
    )


def test_raw_create_becomes_available_and_leaves_no_request(cloud):
    with cloud.running():
        volume = cloud.made(size=1, name="first")
    assert (volume.status, volume.launched_at is not None) == ("available", True)
    assert [cloud.count(table) for table in ("flow_requests", "flow_checkpoints")] == [0, 0]
    (operation,) = cloud.operations(volume.id)
    assert operation.state == "succeeded"
    assert [(one.step, one.outcome) for one in operation.answers][-1] == ("create_volume", "done")


def test_request_made_before_the_owner_starts_is_taken_up(cloud):
    volume = cloud.create(size=1)
    assert cloud.volume(volume.id).status == "creating"
    with cloud.running():
        cloud.settled(volume.id)
    assert cloud.volume(volume.id).status == "available"


def test_a_lost_wake_is_found_by_the_sweep(cloud, monkeypatch):
    monkeypatch.setattr(engine_module, "SWEEP_SECONDS", 0.2)
    with cloud.running():
        monkeypatch.setattr(operations.wake, "wake", lambda connection, slot: None)
        volume = cloud.made(size=1)
    assert volume.status == "available"


def test_rollback_wakes_nobody_and_leaves_nothing(cloud):
    def change_and_break():
        with cloud.database.begin() as connection:
            request_in(connection, cloud, "create_volume")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_break()
    assert cloud.count("flow_requests") == 0
    assert cloud.count("operations") == 0


def test_a_durable_step_is_not_repeated_by_the_next_owner(cloud):
    calls = []
    gate = threading.Event()

    @flow("test_steps", abandon=lambda flow, error: None)
    def steps(flow):
        flow.step("one", calls.append, "one")
        if not gate.is_set():
            gate.set()
            raise engine_module.WorkerStopping
        flow.step("two", calls.append, "two")

    request(cloud, "test_steps")
    with cloud.running():
        assert gate.wait(10)
    with cloud.running():
        operation = cloud.settled("resource")
    assert calls == ["one", "two"]
    assert (operation.state, operation.attempts) == ("succeeded", 3)


def test_a_durable_step_is_not_repeated_after_the_database_was_away(cloud, monkeypatch):
    calls = []

    @flow("test_steps", abandon=lambda flow, error: None)
    def steps(flow):
        flow.step("one", calls.append, "one")
        if len(calls) == 1:
            calls.append("away")
            raise DatabaseUnavailable("The database does not answer.")
        flow.step("two", calls.append, "two")

    monkeypatch.setattr(engine_module, "SWEEP_SECONDS", 0.1)
    with cloud.running():
        cloud.made(size=1)  # nothing is taken up any more: no attempt is counted
        request(cloud, "test_steps")
        operation = cloud.settled("resource")
    assert calls == ["one", "away", "two"]
    assert operation.state == "succeeded"


def test_an_interruption_counts_for_the_flows_that_may_have_run(tmp_path, database_url, known_flows):
    """Not for those that stood in line, nor for one that was parked."""
    cloud = Cloud(tmp_path, "[DEFAULT]\nflow_threads = 2\n" + SIMULATED.partition("\n")[2], database_url)
    cloud.leaves_flows = True
    try:
        for name in ("test_steps", "test_hopeless", "test_long", "test_left"):
            request(cloud, name)
        with cloud.database.begin() as connection:
            operations.update(connection, "op-test_steps", waiting="for another")
        engine = Engine(cloud.backend)
        engine._take_up()
        engine._alarm.close()
        with cloud.database.read() as connection:
            counted = {one.flow: one.attempts for one in operations.pending(connection, cloud.backend.slot)}
    finally:
        cloud.close()
    assert counted == {"test_steps": 0, "test_hopeless": 1, "test_long": 1, "test_left": 0}


def test_a_flow_taken_up_too_often_is_given_up(cloud):
    @flow("test_hopeless", abandon=lambda flow, error: None)
    def hopeless(flow):
        raise engine_module.WorkerStopping

    request(cloud, "test_hopeless")
    with cloud.database.begin() as connection:
        for _ in range(cloud.settings.max_flow_attempts):
            operations.count_attempt(connection, "op-test_hopeless")
    with cloud.running():
        operation = cloud.settled("resource")
    assert operation.state == "failed"
    assert "too often" in operation.message


def test_a_flow_that_cannot_be_undone_is_given_up_and_says_so(cloud, monkeypatch):
    """Neither the create nor its undo works: the volume does not stay in `creating` for ever."""

    def broken(volume):
        raise RuntimeError

    monkeypatch.setattr(engine_module, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(cloud.driver, "create_volume", broken)
    monkeypatch.setattr(cloud.driver, "delete_volume", broken)
    with cloud.running():
        volume = cloud.made(size=1)
    operation = cloud.settled(volume.id)
    assert (volume.status, operation.state) == ("error", "failed")
    assert "could not be undone" in operation.message
    assert cloud.count("flow_requests") == 0


def test_a_failed_create_is_undone_and_says_why(cloud, monkeypatch):
    def full(volume):
        raise BackendOutOfSpace

    monkeypatch.setattr(cloud.driver, "create_volume", full)
    with cloud.running():
        volume = cloud.made(size=1)
    operation = cloud.settled(volume.id)
    assert (volume.status, operation.state) == ("error", "failed")
    assert operation.message == "The storage is full; delete volumes or snapshots there, or add space."
    assert list(cloud.driver.list_objects()) == []


def test_an_unexpected_error_is_told_without_its_internals(cloud, monkeypatch):
    def broken(volume):
        raise RuntimeError("password=secret")

    monkeypatch.setattr(cloud.driver, "create_volume", broken)
    with cloud.running():
        volume = cloud.made(size=1)
    operation = cloud.settled(volume.id)
    assert volume.status == "error"
    assert "RuntimeError" in operation.message
    assert "secret" not in operation.message


def test_a_cancel_stops_a_long_step(cloud):
    begun = threading.Event()

    @flow("test_long", abandon=lambda flow, error: None)
    def long(flow):
        while True:
            flow.progress(1, 100)
            begun.set()
            time.sleep(0.01)

    request(cloud, "test_long")
    with cloud.running():
        assert begun.wait(10)
        with cloud.database.begin() as connection:
            operations.update(connection, "op-test_long", cancel_requested=True)
        operation = cloud.settled("resource")
    assert operation.state == "cancelled"
    assert operation.bytes_total == 100


def test_stop_leaves_a_long_step_to_the_next_owner(cloud):
    begun = threading.Event()

    @flow("test_left", abandon=lambda flow, error: None)
    def left(flow):
        begun.set()
        while flow.attempts < 2:
            flow.progress(1, 100)
            time.sleep(0.01)

    request(cloud, "test_left")
    with cloud.running():
        assert begun.wait(10)
    assert cloud.count("flow_requests") == 1
    with cloud.running():
        assert cloud.settled("resource").state == "succeeded"


def test_many_at_once(cloud):
    with cloud.running():
        made = [cloud.create(size=1) for _ in range(40)]
        for volume in made:
            assert cloud.settled(volume.id).state == "succeeded"


def test_one_raw_create_is_two_commits(cloud):
    """One of the service and one of the worker: the budget that the speed of a create stands on."""
    commits = []
    with cloud.running():
        cloud.made(size=1)
        sa.event.listen(cloud.database.engine, "commit", lambda connection: commits.append(1))
        cloud.made(size=1)
    assert len(commits) == 2


def test_engine_needs_no_work_to_stop(cloud):
    engine = Engine(cloud.backend)
    thread = threading.Thread(target=engine.run)
    thread.start()
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()
