"""Owning a slot, in one process: epoch, proof of the last owner's end, and what a fenced owner may write."""

import os
import signal
import subprocess
import sys

import pytest
import sqlalchemy as sa

from breezeblock import lease, process
from breezeblock.db import migrate
from breezeblock.db.connect import Database
from breezeblock.db.slot import ALIVE_SECONDS, FENCE_SECONDS, HEARTBEAT_SECONDS, LostSlot, Slot

NAME = "host@backend#0"


@pytest.fixture
def database(postgres_url):
    database = Database(postgres_url)
    migrate.upgrade(database)
    yield database
    database.close()


@pytest.fixture
def ended():
    """A process that has ended and was waited for."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        seen = process.Process(process.this().machine, child.pid, start_of(child.pid))
        assert seen.is_local()
        handle = seen.open()
        assert handle is not None
        os.close(handle)
        child.kill()
    return seen


def start_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def owned(database):
    slot = Slot(database.url, NAME)
    assert slot.take()
    return slot


def written(database, **values):
    with database.begin() as connection:
        connection.execute(sa.text(f"UPDATE slots SET {', '.join(f'{key} = :{key}' for key in values)}"), values)


def test_each_owner_has_an_epoch_of_its_own_and_a_slot_given_back_is_free_at_once(database):
    for epoch in (1, 2):
        slot = owned(database)
        assert slot.epoch == epoch
        with database.begin() as connection:
            slot.verify(connection)
        slot.release()
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT pid FROM slots")).scalar_one() is None


def test_one_who_lost_the_slot_writes_nothing(database):
    slot = owned(database)
    guarded = database.guarded(slot.verify)
    with guarded.begin() as connection:
        connection.execute(sa.text("UPDATE slots SET host = 'before'"))
    written(database, epoch=7)
    with pytest.raises(LostSlot):
        with guarded.begin() as connection:
            connection.execute(sa.text("UPDATE slots SET host = 'after'"))
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT host FROM slots")).scalar_one() == "before"
    slot.release()


def test_an_owner_that_has_ended_is_followed_at_once(database, ended):
    owned(database).release()
    written(database, pid=ended.pid, machine=ended.machine, process_started=ended.started)
    slot = owned(database)
    assert slot.epoch == 2
    slot.release()


def test_a_process_id_used_again_is_another_process(ended):
    me = process.this()
    assert process.Process(me.machine, me.pid, me.started - 1).open() is None
    assert ended.open() is None


def test_an_owner_elsewhere_is_given_its_time(database, monkeypatch):
    """Nothing can be seen of it: what counts is that the wait was chosen, and that it can be ended by a stop."""
    owned(database).release()
    written(database, pid=1, machine="another")
    waits = []
    slot = Slot(database.url, NAME)
    wait = slot._wait

    def noted(sources, seconds):
        if seconds == FENCE_SECONDS:
            waits.append(len(sources))
            slot.stop()
        return wait(sources, seconds)

    monkeypatch.setattr(slot, "_wait", noted)
    assert not slot.take()
    slot.release()
    assert waits == [1]
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT epoch FROM slots")).scalar_one() == 1


def test_an_owner_ends_before_the_next_one_stops_waiting():
    assert 2 * HEARTBEAT_SECONDS < ALIVE_SECONDS < FENCE_SECONDS


@pytest.mark.parametrize("stopped", [False, True])
def test_a_lease_that_is_not_renewed_kills_even_a_stopped_process(stopped):
    lines = [
        "import os, signal, sys",
        "from breezeblock import lease",
        "lease.Lease().renew(lease.now() + 0.5)",
        "os.kill(os.getpid(), signal.SIGSTOP)" if stopped else "sys.stdin.read()",
    ]
    with subprocess.Popen([sys.executable, "-c", "\n".join(lines)], stdin=subprocess.PIPE) as child:
        assert child.wait(60) == -signal.SIGKILL


def test_a_lease_that_is_renewed_or_ended_kills_nobody():
    """It is this very process that would die."""
    own = lease.Lease()
    own.renew(lease.now() + 0.05)
    own.renew(lease.now() + 3600)
    own.end()
    short = lease.Lease()
    short.renew(lease.now() + 0.05)
    short.end()
    until = lease.now() + 0.2
    while lease.now() < until:
        pass
