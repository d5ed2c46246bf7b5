"""Locks of processes: real ones, held by real processes."""

import subprocess
import sys

import pytest

from breezeblock.errors import Conflict
from breezeblock.lockfile import LockFile


@pytest.fixture
def child():
    """Starts a process that runs until its standard input is closed, and inherits what may be inherited."""
    started = []

    def start():
        argv = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        started.append(subprocess.Popen(argv, stdin=subprocess.PIPE, close_fds=False))
        return started[-1]

    yield start
    for process in started:
        process.stdin.close()
        process.wait(30)


def test_it_names_its_holder_and_falls_with_it(tmp_path, child):
    lock = LockFile(tmp_path / "lock")
    lock.take()
    child()
    with pytest.raises(Conflict, match="held by process"):
        LockFile(tmp_path / "lock").take()
    lock.name_holder("7 (cook)")
    with pytest.raises(Conflict, match=r"held by process 7 \(cook\); stop it first"):
        LockFile(tmp_path / "lock").take()
    lock.release()
    LockFile(tmp_path / "lock").take()


def test_an_inherited_one_falls_with_the_last_child(tmp_path, child):
    lock, told = LockFile(tmp_path / "lock", inherited=True), []
    lock.take()
    lock.name_holder("a child")
    heir = child()
    lock.release()
    with pytest.raises(Conflict, match="held by process a child"):
        LockFile(tmp_path / "lock").take_within(0.1, told.append)
    assert len(told) == 1
    heir.stdin.close()
    LockFile(tmp_path / "lock").take_within(60, told.append)


def test_a_free_one_is_not_waited_for(tmp_path):
    LockFile(tmp_path / "lock").take_within(0, pytest.fail)
