"""Events reach every sink, in order of number, at least once; and what is old is forgotten."""

import re
import threading
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from breezeblock.db import deliveries, operations, outbox, tables
from breezeblock.db.horizon import Horizon
from breezeblock.delivery import publisher as publisher_module
from breezeblock.delivery.notifications import message_of
from breezeblock.delivery.publisher import Publisher
from breezeblock.delivery.sink import NotDelivered
from breezeblock.flows.engine import Engine
from breezeblock.model import clock
from breezeblock.services import volumes as volume_services
from tests.cloud import MEMBER, Cloud

CONF = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = simulated\n"
LONG_AGO = "2001-01-01T00:00:00.000000"


@pytest.fixture
def cloud(tmp_path, database_url):
    cloud = Cloud(tmp_path, CONF, database_url)
    yield cloud
    cloud.close()


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch):
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", (0.01, 0.05))


class Memory:
    """A sink that remembers, and fails when told to."""

    def __init__(self, name="memory"):
        self.name = name
        self.numbers = []
        self.fails = 0
        self.came = threading.Condition()

    def deliver(self, event):
        with self.came:
            if self.fails:
                self.fails -= 1
                raise NotDelivered("not now")
            self.numbers.append(event.number)
            self.came.notify_all()

    def close(self):
        pass

    def wait_for(self, count):
        with self.came:
            assert self.came.wait_for(lambda: len(self.numbers) >= count, 30), self.numbers


def write(connection, event_type="volume.update", operation_id=None, project_id="project"):
    outbox.write(
        connection,
        event_type,
        resource_type="volume",
        resource_id="volume",
        project_id=project_id,
        operation_id=operation_id,
        payload={"host": "h@one#pool", "user_id": "user"},
    )


def tell(cloud, count):
    for _ in range(count):
        with cloud.database.begin() as connection:
            write(connection)


@contextmanager
def publishing(cloud, *sinks):
    publisher = Publisher(cloud.settings, cloud.database, list(sinks))
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        yield publisher
    finally:
        publisher.stop()
        thread.join(30)
        assert not thread.is_alive()


def prune(cloud, *sinks):
    """Prune as the owner of the slot, which alone may write."""
    publisher = Publisher(cloud.settings, cloud.database, list(sinks))
    if publisher._slot is not None:
        assert publisher._slot.take()
    publisher.prune()
    if publisher._slot is not None:
        publisher._slot.release()


def cursor(cloud, sink):
    with cloud.database.read() as connection:
        return deliveries.position(connection, sink)


def test_in_order_what_was_there_and_what_comes(cloud):
    tell(cloud, 250)
    sink = Memory()
    with publishing(cloud, sink):
        sink.wait_for(250)
        tell(cloud, 3)
        sink.wait_for(253)
    assert sink.numbers == list(range(1, 254))
    assert cursor(cloud, "memory") == 253


def test_a_wake_brings_an_event_without_a_sweep(cloud, monkeypatch):
    monkeypatch.setattr(publisher_module, "SWEEP_SECONDS", 3600.0)
    sink = Memory()
    with publishing(cloud, sink):
        tell(cloud, 1)
        sink.wait_for(1)
        tell(cloud, 1)
        sink.wait_for(2)


def test_the_next_publisher_goes_on_behind_the_cursor(cloud):
    sink = Memory()
    tell(cloud, 2)
    with publishing(cloud, sink):
        sink.wait_for(2)
    tell(cloud, 2)
    with publishing(cloud, sink):
        sink.wait_for(4)
    assert sink.numbers == [1, 2, 3, 4]


def test_one_that_fails_is_tried_again_and_holds_up_no_other(cloud):
    slow, fast = Memory("slow"), Memory("fast")
    slow.fails = 1 << 60
    tell(cloud, 3)
    with publishing(cloud, slow, fast):
        fast.wait_for(3)
        assert slow.numbers == []
        slow.fails = 2
        slow.wait_for(3)
    assert slow.numbers == fast.numbers == [1, 2, 3]


def test_a_number_that_was_rolled_back_blocks_nobody(cloud):
    def write_and_break():
        with cloud.database.begin() as connection:
            write(connection)
            raise RuntimeError

    tell(cloud, 1)
    with pytest.raises(RuntimeError):
        write_and_break()
    tell(cloud, 1)
    sink = Memory()
    with publishing(cloud, sink):
        sink.wait_for(2)
    assert sink.numbers in ([1, 3], [1, 2])  # SQLite draws the number again


@pytest.mark.parametrize("commits", [True, False])
def test_a_lower_number_that_commits_later_is_not_missed(tmp_path, postgres_url, commits):
    """Two open transactions: the second has the higher number and is through first."""
    cloud = Cloud(tmp_path, CONF, postgres_url)
    sink = Memory()
    with publishing(cloud, sink):
        first = cloud.database.engine.connect()
        first_transaction = first.begin()
        write(first)
        tell(cloud, 1)  # number 2, committed; nobody waits for the first one
        horizon = Horizon()
        with cloud.database.read() as connection:
            assert [event.number for event in outbox.after(connection, 0, 10)] == [2]
            assert horizon.look(connection) == 0
            assert horizon.is_waiting
        assert sink.numbers == []
        (first_transaction.commit if commits else first_transaction.rollback)()
        first.close()
        with cloud.database.read() as connection:
            assert horizon.look(connection) == 2
        sink.wait_for(2 if commits else 1)
    assert sink.numbers == ([1, 2] if commits else [2])
    cloud.close()


def test_writers_of_later_numbers_do_not_hold_back_earlier_ones(tmp_path, postgres_url):
    """With always some writer open the horizon still moves: only those count that were there when a number was seen."""
    cloud = Cloud(tmp_path, CONF, postgres_url)
    horizon = Horizon()
    older = cloud.database.engine.connect()
    write(older)
    tell(cloud, 1)
    with cloud.database.read() as connection:
        assert horizon.look(connection) == 0
        younger = cloud.database.engine.connect()
        write(younger)
        older.commit()
        assert horizon.look(connection) == 2
    for one in (older, younger):
        one.close()
    cloud.close()


def test_one_publisher_at_a_time_and_the_other_takes_over(tmp_path, postgres_url):
    cloud = Cloud(tmp_path, CONF, postgres_url)
    first, second = Memory(), Memory()
    with publishing(cloud, first) as owner:
        tell(cloud, 1)
        first.wait_for(1)
        with publishing(cloud, second):
            tell(cloud, 1)
            first.wait_for(2)
            assert second.numbers == []
            owner.stop()
            tell(cloud, 1)
            second.wait_for(1)
    assert (first.numbers, second.numbers) == ([1, 2], [3])
    cloud.close()


def test_a_notification_has_cinders_form(cloud):
    with cloud.database.begin() as connection:
        write(connection, "volume.create.start")
        write(connection, "volume.create.error")
    _, event = cloud.events()
    message = message_of(event, "ERROR", "controller")
    assert (message["publisher_id"], message["event_type"]) == ("volume.h@one", "volume.create.error")
    assert message["timestamp"][10] == " "
    assert message == message_of(event, "ERROR", "controller")


def test_a_failed_a_cancelled_and_a_deleted_create_end_what_they_began(cloud, monkeypatch):
    made = cloud.create(size=1)
    with cloud.database.begin() as connection:
        operations.update(connection, cloud.operations(made.id)[0].id, cancel_requested=True)

    def full(volume):
        raise RuntimeError

    monkeypatch.setattr(cloud.driver, "create_volume", full)
    with cloud.running():
        cloud.settled(made.id)
        volume_services.delete_volume(cloud.database, MEMBER, made.id)
        cloud.settled(made.id)
    assert [event.type for event in cloud.events()] == [
        "volume.create.start",
        "volume.create.error",
        "volume.delete.start",
        "volume.delete.end",
    ]


def test_what_vanished_under_its_flow_is_told_to_have_failed(cloud):
    made = cloud.create(size=1)
    with cloud.database.begin() as connection:
        connection.execute(sa.delete(tables.volumes).where(tables.volumes.c.id == made.id))
    with cloud.running():
        assert cloud.settled(made.id).state == "failed"
    start, error = cloud.events()
    assert (error.type, error.operation_id) == ("volume.create.error", start.operation_id)
    assert error.payload["volume_id"] == made.id
    assert error.payload["error"]


def test_old_events_go_when_every_sink_has_them(cloud):
    tell(cloud, 3)
    with cloud.database.begin() as connection:
        connection.execute(sa.update(tables.events).where(tables.events.c.number < 3).values(created_at=LONG_AGO))
        deliveries.advance(connection, "one", 1)
    one, other = Memory("one"), Memory("other")
    prune(cloud, one, other)
    assert cloud.count("events") == 3
    prune(cloud, one)
    assert [event.number for event in cloud.events()] == [2, 3]
    prune(cloud)
    assert [event.number for event in cloud.events()] == [3]


def test_100000_finished_operations_neither_slow_the_start_nor_stay(cloud):
    """The start has the same few statements, each of which goes by an index; pruning takes them in batches."""
    old = {
        "kind": "create_volume",
        "resource_type": "volume",
        "project_id": "project",
        "user_id": "user",
        "request_id": "request",
        "state": "succeeded",
        "created_at": LONG_AGO,
        "finished_at": LONG_AGO,
    }
    rows = [{**old, "id": f"{number:06d}", "resource_id": f"volume-{number}"} for number in range(100_000)]
    with cloud.database.begin() as connection:
        connection.execute(tables.operations.insert(), rows)
        connection.execute(
            tables.operations.insert(), {**old, "id": "young", "resource_id": "v", "finished_at": clock.now()}
        )
    with cloud.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    statements = []

    def note(connection, cursor, statement, parameters, context, executemany):
        statements.append((statement, parameters))

    engine = cloud.database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    start_and_stop(cloud)
    sa.event.remove(engine, "before_cursor_execute", note)
    assert len(statements) <= 4
    for statement, parameters in statements:
        assert not re.search(r"(SCAN|Seq Scan on) operations\b", plan(cloud, statement, parameters))
    query = "SELECT id FROM operations WHERE finished_at < '2002' ORDER BY finished_at LIMIT 1000"
    assert "ix_operations_finished_at" in plan(cloud, query)
    prune(cloud)
    assert cloud.count("operations") == 1


def start_and_stop(cloud):
    engine = Engine(cloud.backend)
    thread = threading.Thread(target=engine.run)
    thread.start()
    engine.stop()
    thread.join(30)


def plan(cloud, statement, parameters=None):
    """What the database would do for a statement."""
    explain = "EXPLAIN QUERY PLAN " if cloud.database.is_sqlite else "EXPLAIN "
    with cloud.database.read() as connection:
        if parameters:
            rows = connection.exec_driver_sql(explain + statement, parameters)
        else:
            rows = connection.exec_driver_sql(explain + statement)
        return "\n".join(" ".join(map(str, row)) for row in rows)
