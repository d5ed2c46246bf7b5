"""The kill matrix: a real process killed at each point between two side effects, and what is left of that.

`make test-kill` (BREEZEBLOCK_KILL_MATRIX=all) kills at every passing of every point, on both databases. Without it each
point is killed once, in the first scenario that passes it, the databases taking turns.
"""

import os
import time
from collections import Counter

import pytest

from breezeblock import killpoints
from tests import postgres
from tests.kill.base import Base
from tests.kill.scenarios import SCENARIOS
from tests.kill.world import BACKGROUND, LOOK_SECONDS, World, attempt

ALL = os.environ.get("BREEZEBLOCK_KILL_MATRIX") == "all"
DATABASES = ("sqlite", "postgresql")
MOST_PASSINGS = 3
MOST_RUNS = 3
PASSING_SECONDS = 20
SLOW = {"retype-changes"}
"""It encrypts a whole volume each time; what others pass too is left to them."""
RUNS = [
    (name, database)
    for turn, database in enumerate(DATABASES)
    for number, name in enumerate(SCENARIOS)
    if ALL or (database == "postgresql" if name == "restart" else number // 2 % 2 == turn)
]
"""A restart takes a slot on PostgreSQL only."""
RUNS.sort(key=lambda run: run[0] in SLOW)
SEEN: dict[str, set[str]] = {database: set() for database in DATABASES}
"""The points that were passed, by database."""
KILLED: set[str] = set()
RAN: set[str] = set()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, request):
    """A world for each database, made when first asked for."""
    made = {}

    def world_of(database):
        if database not in made:
            url = None
            if database == "postgresql":
                cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
                url = cluster.url(cluster.new_database())
            world = World(tmp_path_factory.mktemp(database), url)
            world.start()
            made[database] = (world, Base(world))
        return made[database]

    yield world_of
    for world, _ in made.values():
        world.stop()


def passed(world, base, scenario):
    """Run a scenario in peace; the points that it passes, each with how often."""
    state = scenario.prepare(world, base)
    world.forget_reached()
    scenario.ask(world, base, state)
    world.settle()
    points = Counter(point for point in world.reached() if not is_background(point, scenario))
    assert scenario.outcome(world, base, state) in scenario.outcomes
    scenario.clean(world, base, state)
    assert not (found := world.complaints()), found
    return points


def is_background(point, scenario):
    """Whether a point is passed now and then, whatever is asked, and this scenario is not about it."""
    place = point.rpartition(".")[0]
    return place in BACKGROUND and place not in scenario.background


def killed_at(world, base, scenario, point, number):
    """Run a scenario with a kill at a point; the outcome. A point that is passed only while another flow goes on is missed
    where that one is faster: the run must end well all the same, and another one is made."""
    for _ in range(MOST_RUNS):
        fired, outcome = run(world, base, scenario, f"{point}:{number}:1")
        assert fired <= 1
        if fired:
            return outcome
    raise AssertionError(f"{point} was not passed {number} times in {MOST_RUNS} runs")


def run(world, base, scenario, armed):
    """Run a scenario with a point armed; how often it was killed there, and the outcome."""
    state = scenario.prepare(world, base)
    token = world.arm(armed)
    try:
        answered = attempt(lambda: scenario.ask(world, base, state))
        world.wait_for_api()
        world.settle()
        if not answered:
            attempt(lambda: scenario.again(world, base, state))
            world.settle()
        # what comes behind the last commit may be passed a moment after everything looks settled
        deadline = time.monotonic() + PASSING_SECONDS
        while not world.fired(token) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        world.wait_for_api()
        world.settle()
    finally:
        world.disarm()
    outcome = scenario.outcome(world, base, state)
    assert outcome in scenario.outcomes, outcome
    found = world.complaints()
    assert not found, found
    scenario.clean(world, base, state)
    found = world.complaints() + world.examined()
    assert not found, found
    return world.fired(token), outcome


def chosen(points, killed):
    """Which passings of which points to kill at; all where that is asked for, else those that nobody was `killed` at."""
    for point, times in points.items():
        if ALL:
            yield from ((point, number) for number in range(1, min(times, MOST_PASSINGS) + 1))
        elif point not in killed:
            killed.add(point)
            yield point, 1


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "database"), RUNS)
def test_killed_between_any_two_side_effects(worlds, name, database, capsys):
    world, base = worlds(database)
    RAN.add(name)
    SEEN[database].update(killed_everywhere(world, base, SCENARIOS[name], database, KILLED, capsys))


def killed_everywhere(world, base, scenario, label, killed, capsys):
    """Run a scenario with a kill at each point that it passes; these points. Raises where anything was not as it should be."""
    # the first time may pass a point more often: what it left lies there for all others
    points = passed(world, base, scenario) & passed(world, base, scenario)
    failures = []
    for point, number in chosen(points, killed):
        began = time.monotonic()
        try:
            outcome = killed_at(world, base, scenario, point, number)
        except Exception as error:
            outcome = f"FAILED {type(error).__name__}: {error}"
            failures.append(f"{point}:{number}: {outcome}")
        with capsys.disabled():
            seconds = time.monotonic() - began
            print(f"\n{label:10} {scenario.name:18} {point:55} {number}  {seconds:4.1f} s  {outcome[:300]}", end="")
    failures += world.doctor()
    assert not failures, "\n".join(failures) + world.tail()
    return points


def test_a_flow_killed_twelve_times_ends_in_error(worlds):
    """Eleven times in its story, which makes ten attempts too many, and once more in what undoes it."""
    world, base = worlds("sqlite")
    scenario = SCENARIOS["raw"]
    state = scenario.prepare(world, base)
    token = world.arm("create_volume.raw.after_create_volume:1:11", "create_volume.undo.after_delete_volume:1:1")
    scenario.ask(world, base, state)
    world.settle()
    world.disarm()
    assert world.fired(token) == 12
    volume = world.find("volumes", state["name"])
    assert volume["status"] == "error"
    (operation,) = world.call("GET", f"/operations?resource_id={volume['id']}")["operations"]
    assert operation["state"] == "failed"
    assert "interrupted too often" in operation["message"]
    assert world.complaints() == []
    scenario.clean(world, base, state)
    assert world.complaints() == []


def test_the_table_of_points_is_the_code(worlds):
    """Every point that is passed is listed, and every listed one is passed by some scenario."""
    seen = set().union(*SEEN.values())
    listed = set(killpoints.names())
    assert seen <= listed, f"not listed: {sorted(seen - listed)}"
    if set(SCENARIOS) == RAN:
        assert listed <= seen, f"never passed: {sorted(listed - seen)}"
