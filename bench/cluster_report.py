"""The part of BENCHMARKS.md on API and worker apart, on PostgreSQL."""

from collections.abc import Iterable
from statistics import median

import msgspec

from bench.life import Costs
from bench.report import Goal, how, number, ratio, row, table, today, verdict
from bench.rounds import Results
from bench.takeover import Rest

TITLE = "API and worker apart: PostgreSQL"
GOALS = {"raw": Goal("wall_ms", times=5)}
MOST_REST_PERCENT = 2.0
MOST_TAKEOVER_SECONDS = 2.0

POSTGRESQL = {
    "api ms": "CPU ms: API",
    "worker ms": "worker",
    "postgresql ms": "PostgreSQL",
    "api statements": "statements: API",
    "worker statements": "worker",
    "commits": "commits",
    "WAL KiB": "WAL KiB",
    "database syncs": "syncs: database",
    "storage syncs": "storage",
}
SQLITE = {"server ms": "SQLite, CPU ms", "database syncs": "syncs: database", "storage syncs": "storage"}


class Findings(msgspec.Struct, kw_only=True):
    """All that `make bench-cluster` measured. `rest` and `takeovers` (seconds) are of this project alone."""

    results: Results
    postgresql: str
    """Its version."""
    costs: Costs
    sqlite_costs: Costs
    rest: Rest
    takeovers: list[float]
    loads: list[float]
    """The machine's load averages over a minute, one after each part: what else it had to do shows here."""


def section(found: Findings, server: str, peer: str | None) -> str:
    """The whole part."""
    return f"""`make bench-cluster` wrote this part on {today()}: PostgreSQL {found.postgresql},
load average {min(found.loads):.0f} to {max(found.loads):.0f} meanwhile, {how(found.results)}
{server} runs as one `breezeblock api`, the `breezeblock worker` that owns the directory backend and one that stands by,
on a private PostgreSQL with fsync on; its CPU is that of all of them, PostgreSQL included. The peer's is that of the
processes that the environment names.

{table(found.results, server, peer, GOALS)}

{tail(found.results, server, peer)}

What one flow of {server} costs, from the request to the end of the flow, without a client's polls. Statements are
counted by PostgreSQL, BEGIN and COMMIT too; syncs are calls of fsync and the like that
wait for the disk, by strace, in a run of their own.

{cost_table(found.costs, found.sqlite_costs)}

{rest_text(found.rest)}
{takeover_text(found.takeovers)}
"""


def tail(results: Results, server: str, peer: str | None) -> str:
    """How long the slow ones of the raw creates took."""
    ours, theirs = results.median(server, "raw"), results.median(peer, "raw") if peer else None
    if ours is None:
        return ""
    text = f"Raw volume, POST to available: median {number(ours.wall_ms)} ms, 95th percentile {number(ours.p95_ms)} ms"
    if theirs is None:
        return text + "."
    text += f"; {peer} {number(theirs.wall_ms)} ms and {number(theirs.p95_ms)} ms, "
    return text + f"{ratio(theirs.wall_ms, ours.wall_ms)} and {ratio(theirs.p95_ms, ours.p95_ms)} times as long."


def cost_table(costs: Costs, sqlite_costs: Costs) -> str:
    """A row for each kind of flow; figures that could not be taken are left empty."""
    head = ["one flow", *POSTGRESQL.values(), *SQLITE.values()]
    lines = [row(head), row(["---", *["---:"] * (len(head) - 1)])]
    for kind, values in costs.items():
        cells = [*_cells(values, POSTGRESQL), *_cells(sqlite_costs.get(kind, {}), SQLITE)]
        lines.append(row([kind, *cells]))
    return "\n".join(lines)


def rest_text(rest: Rest) -> str:
    """What a site costs that does nothing."""
    percent = sum(rest.percent.values())
    of_each = ", ".join(f"{name} {value:.2f}" for name, value in rest.percent.items())
    memory = ", ".join(f"{name} {value:.0f}" for name, value in rest.memory_mib.items())
    return (
        f"- At rest with one volume attached: {percent:.2f} % of one processor ({of_each}), goal at most "
        f"{MOST_REST_PERCENT:.0f}: {verdict(percent, MOST_REST_PERCENT)}; {rest.statements_per_second:.1f} statements a "
        f"second; {sum(rest.memory_mib.values()):.0f} MiB ({memory}), the standby counted with the worker."
    )


def takeover_text(seconds: list[float]) -> str:
    """How long a user waits for a volume while the owner is killed."""
    longest = max(seconds)
    return (
        f"- Takeover, from `kill -9` of the owner until a raw volume asked for just after it is available, {len(seconds)} "
        f"times: median {median(seconds):.2f} s, longest {longest:.2f} s, goal at most {MOST_TAKEOVER_SECONDS:.0f}: "
        f"{verdict(longest, MOST_TAKEOVER_SECONDS)}."
    )


def _cells(values: dict[str, float], names: Iterable[str]) -> list[str]:
    return [number(values.get(name)) for name in names]
