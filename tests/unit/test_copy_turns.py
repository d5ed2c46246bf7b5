"""Turns of copies, and how fast they may be together: fair between projects, by a clock that the tests turn."""

import random
import threading
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breezeblock.errors import Cancelled
from breezeblock.flows.pace import BURST_SECONDS, QUANTUM, Pace, PacedTarget
from breezeblock.flows.turns import CopyTurns


def test_no_more_than_the_limit_and_asking_again_changes_nothing():
    turns = CopyTurns(2)
    assert [turns.take("p", name) for name in "aabbc"] == [True, True, True, True, False]
    assert turns.is_waiting("c")
    assert not turns.take("p", "c")
    assert turns.give_back("a")
    assert turns.take("p", "c")
    assert not turns.is_waiting("c")


def test_the_first_copy_of_another_project_is_next():
    turns = CopyTurns(1)
    for number in range(10):
        turns.take("many", f"many-{number}")
    turns.take("one", "one")
    turns.give_back("many-0")
    assert turns.take("one", "one")


def test_who_leaves_the_line_gets_no_turn_and_holds_none():
    turns = CopyTurns(1)
    turns.take("p", "a")
    turns.take("p", "b")
    assert not turns.give_back("b")
    assert not turns.is_waiting("b")
    turns.give_back("a")
    assert turns.take("p", "c")


def test_giving_back_what_one_never_had_is_nothing():
    assert not CopyTurns(1).give_back("unknown")


PROJECTS = "ABCD"


@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(1, 3),
    events=st.lists(st.one_of(st.sampled_from(PROJECTS), st.integers(0, 5)), min_size=1, max_size=80),
)
def test_no_project_waits_for_more_turns_than_there_are_projects(limit, events):
    """A letter asks for a copy of that project; a number ends the so-many-th of those that run."""
    turns, names = CopyTurns(limit), iter(range(1000))
    running: list[str] = []
    waiting: dict[str, deque[str]] = {project: deque() for project in PROJECTS}
    waited = dict.fromkeys(PROJECTS, 0)

    def look():
        granted = [one for line in waiting.values() for one in line if not turns.is_waiting(one)]
        for name in granted:
            project = name[0]
            assert waiting[project][0] == name, "first come, first served within a project"
            waiting[project].popleft()
            waited[project] = 0
            running.append(name)
            for other in PROJECTS:
                if other != project and waiting[other]:
                    waited[other] += 1
                    assert waited[other] < len(PROJECTS)
        assert len(running) <= limit
        assert len(running) == limit or not any(waiting.values()), "a turn is free and somebody waits"

    for event in events:
        if isinstance(event, str):
            name = f"{event}{next(names)}"
            if turns.take(event, name):
                running.append(name)
            else:
                waiting[event].append(name)
        elif running:
            turns.give_back(running.pop(event % len(running)))
        look()


class Time:
    """Seconds that pass when somebody says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def moved(pace, time, copies, seconds):
    """Bytes that each copy moves in that time. `copies` has for each name the size of its pieces, and how many seconds
    it needs to have the next one."""
    end, done = time.now + seconds, dict.fromkeys(copies, 0)
    ready = dict.fromkeys(copies, time.now)
    while time.now < end:
        for name, (size, needed) in copies.items():
            while ready[name] <= time.now and not pace.ask(name, size):
                done[name] += size
                ready[name] = time.now + needed
                if needed:
                    break
        time.now += 0.001
    return done


def test_one_copy_gets_all_there_is():
    time = Time()
    done = moved(Pace(1_000_000, time), time, {"a": (1000, 0)}, 10)
    assert done["a"] == pytest.approx(10_000_000, rel=0.02)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1_000, 100_000), min_size=2, max_size=5))
def test_copies_get_the_same_however_large_their_pieces_are(sizes):
    time = Time()
    copies = {f"copy-{number}": (size, 0) for number, size in enumerate(sizes)}
    done = moved(Pace(1_000_000, time), time, copies, 10)
    burst = 1_000_000 * BURST_SECONDS
    assert sum(done.values()) <= 10_000_000 + burst + max(sizes)
    assert sum(done.values()) >= 10_000_000 * 0.9
    assert max(done.values()) - min(done.values()) <= 2 * max(sizes) + burst


def test_what_a_slow_copy_leaves_the_others_have():
    time = Time()
    done = moved(Pace(1_000_000, time), time, {"slow": (1000, 0.01), "a": (10_000, 0), "b": (10_000, 0)}, 10)
    assert 400_000 < done["slow"] < 1_000_000  # each of its pieces waits for one of the others that has begun
    assert done["a"] == pytest.approx(done["b"], rel=0.02)
    assert sum(done.values()) == pytest.approx(10_000_000, rel=0.02)


def test_a_newcomer_gets_its_share_and_no_more():
    time = Time()
    pace = Pace(1_000_000, time)
    moved(pace, time, {"old": (10_000, 0)}, 10)
    done = moved(pace, time, {"old": (10_000, 0), "new": (10_000, 0)}, 10)
    assert done["new"] == pytest.approx(done["old"], rel=0.02)


def test_one_that_left_is_waited_for_no_more():
    time = Time()
    pace = Pace(1000, time)
    assert pace.ask("a", 5000) == 0
    assert pace.ask("b", 10)
    assert pace.ask("a", 10)
    pace.leave("b")
    time.now += 5
    assert pace.ask("a", 10) == 0


class Kept:
    """A `BlockTarget` that keeps what it gets."""

    uri = "kept"
    kept = b"note"

    def __init__(self, size):
        self.size = size
        self.content = bytearray(size)

    def pwrite(self, data, offset):
        self.content[offset : offset + len(data)] = data

    def keep(self, note):
        self.notes = [note]


def test_a_paced_target_is_the_target_and_asks_before_each_piece():
    kept, asked = Kept(3 * QUANTUM), []
    target = PacedTarget(kept, asked.append)
    data = random.Random(1).randbytes(2 * QUANTUM + 17)
    target.pwrite(data, 5)
    target.keep(b"newer")
    assert (target.size, target.uri, target.kept, kept.notes) == (kept.size, "kept", b"note", [b"newer"])
    assert asked == [QUANTUM, QUANTUM, 17]
    assert kept.content[5 : 5 + len(data)] == data
    target.pwrite(b"", 0)
    assert len(asked) == 3


def test_one_that_waits_notices_a_cancel():
    """At one byte a second its piece would come in a day."""
    pace = Pace(1)
    pace.wait("a", 100_000, lambda: None)
    looked = threading.Event()

    def look():
        looked.set()
        raise Cancelled

    with pytest.raises(Cancelled):
        pace.wait("b", 100_000, look)
    assert looked.is_set()


def test_copies_in_threads_all_get_through():
    pace = Pace(50 << 20)
    done = []

    def copy(name):
        for _ in range(20):
            pace.wait(name, 64 << 10, lambda: None)
        pace.leave(name)
        done.append(name)

    threads = [threading.Thread(target=copy, args=(str(number),)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 5
