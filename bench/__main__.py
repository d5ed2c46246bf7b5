"""`make bench`: measure this project's server, and beside it the Cinder that the environment names, if it names one.

BENCH_PEER_AUTH_URL, _USER, _PASSWORD, _PROJECT (and _LIST_USER, _LIST_PROJECT), or BENCH_PEER_ENDPOINT, _TOKEN,
_IMAGES_ENDPOINT, _IMAGE; BENCH_PEER_PIDS names its processes (ids or files, separated by spaces), BENCH_PEER_NAME it.
With a peer the table goes into BENCHMARKS.md; without one it is printed only, unless --write is given. See also
`make bench-cluster`.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import page, report
from bench.embedded import Embedded, make_image
from bench.measure import Remote
from bench.rounds import Subject, measure
from bench.scenarios import NAMES

TITLE = "The embedded default: one machine, SQLite"
PREFIX = "BENCH_PEER_"


def peer_from(environment: Mapping[str, str], image_file: Path, repeat: int) -> Remote | None:
    """The peer that the environment describes; None where it describes none. Raises `SystemExit` for a wrong name."""
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and value
    }
    unknown = given.keys() - set(Remote.__struct_fields__)
    if unknown:
        raise SystemExit(f"Unknown: {', '.join(PREFIX + name.upper() for name in sorted(unknown))}.")
    if not given:
        return None
    pids = given.pop("pids", "").split()
    name = given.pop("name", "Cinder")
    return Remote(**given, name=name, pids=pids, image_file=image_file, repeat=repeat)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds; 1 where a scenario failed."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=10, help="operations of a kind in one round")
    parser.add_argument("--tests", default=",".join(NAMES), help="some of %(default)s")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--write", action="store_true", help="write BENCHMARKS.md without a peer, too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="breezeblock-bench-", dir=os.environ.get("BENCH_DIR")) as made:
        image_file = make_image(Path(made))
        peer = peer_from(os.environ, image_file, options.repeat)
        with Embedded(Path(made) / "data", image_file, options.repeat) as embedded:
            subjects: list[Subject] = [embedded, *([peer] if peer else [])]
            results = measure(subjects, options.tests.split(","), options.rounds)
    peer_name = peer.name if peer else None
    print(report.table(results, embedded.name, peer_name))
    if options.json:
        results.save(options.json)
    if peer or options.write:
        page.write(TITLE, report.section(results, embedded.name, peer_name))
    for failure in results.failures:
        print(f"FAILED {failure}")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
