"""The figures as a table: what each thing took, how many times less than the peer, and whether the goal is met."""

import datetime
from collections.abc import Mapping, Sequence

import msgspec

from bench.crowd import CLIENTS
from bench.rounds import Results
from bench.scenarios import Sample

LABELS = {
    "start": "start, until the API answers",
    "start_to_volume": "start, until a raw volume is available",
    "list": "list of 1000 volumes in detail",
    "show": "one volume",
    "post": "raw volume, POST to 202",
    "raw": "raw volume, POST to available",
    "batch": "100 raw volumes by 8 clients, all available",
    "snapshot": "snapshot, POST to available",
    "from_snapshot": "volume from a snapshot",
    "clone": "clone of a raw volume",
    "delete": "raw volume, DELETE to gone",
    "image_first": "volume from an image, first",
    "image_then": "volume from an image, then",
    "clone_of_image": "clone of a volume from an image",
}
"""Rows of the table, in order; those of `idle` come below it."""

CROWD_LABELS = {
    "crowd_list": "list of 1000 volumes in detail",
    "crowd_show": "one volume",
    "crowd_post": "raw volume, POST to 202",
}
"""Rows of the table of many clients at once, in order."""


class Goal(msgspec.Struct, frozen=True):
    """What a figure should be: at most `most`, or at most the peer's divided by `times`."""

    field: str
    most: float | None = None
    times: float | None = None


GOALS = {
    "start": Goal("wall_ms", most=1500),
    "list": Goal("cpu_ms", times=12),
    "raw": Goal("wall_ms", times=10),
    "batch": Goal("wall_ms", most=1500),
    "snapshot": Goal("wall_ms", times=10),
    "clone": Goal("wall_ms", times=30),
    "image_then": Goal("wall_ms", times=30),
}
MOST_MEMORY_MIB = 180
MOST_IDLE_PERCENT = 2


def table(results: Results, server: str, peer: str | None, goals: Mapping[str, Goal] = GOALS) -> str:
    """A Markdown table of medians; with a peer also of its figures and the ratios."""
    head = [f"{server} ms", "CPU ms"]
    if peer:
        head += [f"{peer} ms", "CPU ms", "times faster", "times less CPU"]
    head += ["goal", ""]
    lines = [row(["", *head]), row(["---", *["---:"] * (len(head) - 2), "---", "---"])]
    for scenario, label in LABELS.items():
        ours = results.median(server, scenario)
        if ours is not None:
            theirs = results.median(peer, scenario) if peer else None
            lines.append(
                row([label, *_figures(ours, theirs, peer is not None), *_judge(goals.get(scenario), ours, theirs)])
            )
    idle = [*_idle(results, server, True), *(_idle(results, peer, False) if peer else [])]
    crowd = _crowd(results, server, peer)
    return "\n".join([*lines, *(["", *crowd] if crowd else []), *(["", *idle] if idle else [])])


def _crowd(results: Results, server: str, peer: str | None) -> list[str]:
    """The table of many clients at once, where there are figures of them."""
    names = [server, *([peer] if peer else [])]
    rows = []
    for scenario, label in CROWD_LABELS.items():
        found = [results.median(name, scenario) or Sample() for name in names]
        if all(sample.per_second is None for sample in found):
            continue
        cells = [number(value) for one in found for value in (one.wall_ms, one.p99_ms, one.per_second, one.cpu_ms)]
        if peer:
            ours, theirs = found
            cells += [ratio(theirs.p99_ms, ours.p99_ms), ratio(ours.per_second, theirs.per_second)]
        rows.append(row([label, *cells]))
    if not rows:
        return []
    head = [cell for name in names for cell in (f"{name} p50 ms", "p99 ms", "requests/s", "CPU ms")]
    head += ["p99, times less", "times the requests/s"] if peer else []
    told = f"By {CLIENTS} clients at once, each asking again as soon as it is answered; nothing is tried a second time:"
    return [told, "", row(["", *head]), row(["---", *["---:"] * len(head)]), *rows]


def section(results: Results, server: str, peer: str | None) -> str:
    """The part of BENCHMARKS.md on the embedded default."""
    return f"""`make bench` wrote this part on {today()}: {how(results)}
"First" is the first volume of an image the server has not seen.
{server} runs as `breezeblock serve` runs without a configuration: SQLite, the directory backend, local images, no
authentication. Memory is what all processes of the server would take alone: pages of shared libraries count once.
The peer, where there is one, runs as it was found, with its own database, storage and authentication.

{table(results, server, peer)}
"""


def today() -> str:
    """The date, as BENCHMARKS.md has it."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def how(results: Results) -> str:
    """On what, and how, the figures of a table were taken."""
    return f"""{results.machine}, medians of {results.rounds} rounds in which the servers take turns.
Times are a client's, with its polling (5 ms, growing to 50 ms); CPU is user and system time of all processes of the
server for one operation, the polls included."""


def _figures(ours: Sample, theirs: Sample | None, with_peer: bool) -> list[str]:
    cells = [number(ours.wall_ms), number(ours.cpu_ms)]
    if with_peer:
        theirs = theirs or Sample()
        cells += [number(theirs.wall_ms), number(theirs.cpu_ms)]
        cells += [ratio(theirs.wall_ms, ours.wall_ms), ratio(theirs.cpu_ms, ours.cpu_ms)]
    return cells


def _judge(goal: Goal | None, ours: Sample, theirs: Sample | None) -> list[str]:
    if goal is None:
        return ["", ""]
    value = getattr(ours, goal.field)
    if goal.most is not None:
        return [f"at most {goal.most:.0f} ms", verdict(value, goal.most)]
    other = getattr(theirs, goal.field) if theirs else None
    if other is None:
        return ["", ""]
    unit = "CPU" if goal.field == "cpu_ms" else "time"
    return [f"1/{goal.times:.0f} of its {unit}", verdict(value, other / (goal.times or 1))]


def _idle(results: Results, server: str, judged: bool) -> list[str]:
    sample = results.median(server, "idle")
    if sample is None or sample.memory_mib is None or sample.idle_percent is None:
        return []
    memory, load = f"{sample.memory_mib:.0f} MiB", f"{sample.idle_percent:.1f} % of one processor"
    if judged:
        memory += f", goal at most {MOST_MEMORY_MIB}: {verdict(sample.memory_mib, MOST_MEMORY_MIB)}"
        load += f", goal at most {MOST_IDLE_PERCENT}: {verdict(sample.idle_percent, MOST_IDLE_PERCENT)}"
    return [f"- {server} at rest with one volume attached: {memory}; {load}."]


def verdict(value: float | None, most: float | None) -> str:
    """Whether a goal is met; nothing where a figure is missing."""
    if value is None or most is None:
        return ""
    return "met" if value <= most else "**missed**"


def number(value: float | None) -> str:
    """A figure as a cell shows it."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def ratio(theirs: float | None, ours: float | None) -> str:
    """How many times more the peer took."""
    return f"{theirs / ours:.1f}" if theirs and ours else ""


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
