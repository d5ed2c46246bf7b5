"""`make bench-cluster`: measure this project's API and worker, apart, on a private PostgreSQL with fsync on.

The Cinder that the environment names (as for `make bench`), if any, takes turns in the rounds that take times. Then, of
this project alone: what each kind of flow costs, here and on SQLite; rest; and how long until a standby has taken over.
With a peer its part of BENCHMARKS.md is written; without one it is printed only, unless --write is given.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from bench import cluster_report, command
from bench.cluster_report import Findings
from bench.embedded import Embedded, make_image
from bench.gauges import Gauge, durable_writes, processor, statements, together
from bench.life import Costs, Life
from bench.rounds import Results, Subject, measure, say
from bench.scenarios import Target
from bench.site import LOOK_SECONDS, Site, wait_until
from bench.takeover import rest, take_over

TESTS = "post,raw,snapshot,from_snapshot,clone,delete,image"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything; 1 where a scenario failed."""
    parser = command.parser("bench-cluster", __doc__, TESTS)
    parser.add_argument("--flows", type=int, default=20, help="flows of a kind whose cost is taken")
    parser.add_argument("--takeovers", type=int, default=10)
    options = parser.parse_args(arguments)
    loads = [os.getloadavg()[0]]
    with command.workplace() as directory:
        image_file = make_image(directory)
        peer = command.peer_from(os.environ, image_file, options.repeat)
        with Site(directory / "site", image_file, options.repeat) as site:
            subjects: list[Subject] = [site, *([peer] if peer else [])]
            results = measure(subjects, options.tests.split(","), options.rounds)
            loads.append(os.getloadavg()[0])
            found = _findings(site, results, options, loads, directory)

    def save(path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))

    text = cluster_report.section(found, site.name, peer.name if peer else None)
    return command.end(options, results, peer, title=cluster_report.TITLE, text=text, save=save)


def _findings(
    site: Site, results: Results, options: argparse.Namespace, loads: list[float], directory: Path
) -> Findings:
    say("what each kind of flow costs")
    costs = _site_costs(site, options.flows, directory)
    say("the same on SQLite")
    sqlite_costs = _sqlite_costs(directory, options.flows)
    loads.append(os.getloadavg()[0])
    say("rest")
    at_rest = rest(site)
    takeovers = []
    for number in range(options.takeovers):
        say(f"takeover {number + 1} of {options.takeovers}")
        takeovers.append(take_over(site))
    loads.append(os.getloadavg()[0])
    ((version,),) = site.query("SHOW server_version")
    return Findings(
        results=results,
        postgresql=str(version).split()[0],
        costs=costs,
        sqlite_costs=sqlite_costs,
        rest=at_rest,
        takeovers=takeovers,
        loads=loads,
    )


def _site_costs(site: Site, flows: int, directory: Path) -> Costs:
    target, _ = site.begin_round()
    gauge = together(processor(**site.groups()), statements(site))
    return _costs(target, site.settle, gauge, flows, site.database_files, directory / "traced-postgresql")


def _sqlite_costs(directory: Path, flows: int) -> Costs:
    data_dir = directory / "sqlite"
    with Embedded(data_dir, directory / "disk.qcow2", flows) as embedded:
        target, _ = embedded.begin_round()
        database = data_dir / "breezeblock.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:

            def settle() -> None:
                query = "SELECT count(*) FROM flow_requests"
                wait_until(lambda: connection.execute(query).fetchone() == (0,), LOOK_SECONDS)

            gauge = processor(server=target.processes)
            return _costs(target, settle, gauge, flows, str(database), directory / "traced-sqlite")


def _costs(
    target: Target, settle: Callable[[], None], gauge: Gauge, flows: int, database_files: str, log: Path
) -> Costs:
    """What each kind of flow moves `gauge`, and then, measured apart, how often it waits for the disk."""
    assert target.image_file is not None
    life = Life(target.client, settle, target.client.upload_image(target.image_file, "qcow2"))
    costs = life.measure(flows, gauge)
    with durable_writes(target.processes, database_files, log) as syncs:
        for kind, values in life.measure(flows, syncs).items():
            costs[kind] |= values
    return costs


if __name__ == "__main__":
    sys.exit(main())
