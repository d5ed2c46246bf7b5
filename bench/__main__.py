"""`make bench`: measure this project's server, and beside it the Cinder that the environment names, if it names one.

BENCH_PEER_AUTH_URL, _USER, _PASSWORD, _PROJECT (and _LIST_USER, _LIST_PROJECT), or BENCH_PEER_ENDPOINT, _TOKEN,
_IMAGES_ENDPOINT, _IMAGE; BENCH_PEER_PIDS names its processes (ids or files, separated by spaces), BENCH_PEER_NAME it.
With a peer the table goes into BENCHMARKS.md; without one it is printed only, unless --write is given. See also
`make bench-cluster`.
"""

import os
import sys
from collections.abc import Sequence

from bench import command, report
from bench.embedded import Embedded, make_image
from bench.rounds import Subject, measure
from bench.scenarios import NAMES

TITLE = "The embedded default: one machine, SQLite"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds; 1 where a scenario failed."""
    options = command.parser("bench", __doc__, ",".join(NAMES)).parse_args(arguments)
    with command.workplace() as made:
        image_file = make_image(made)
        peer = command.peer_from(os.environ, image_file, options.repeat)
        with Embedded(made / "data", image_file, options.repeat) as embedded:
            subjects: list[Subject] = [embedded, *([peer] if peer else [])]
            results = measure(subjects, options.tests.split(","), options.rounds)
    text = report.section(results, embedded.name, peer.name if peer else None)
    return command.end(options, results, peer, title=TITLE, text=text, save=results.save)


if __name__ == "__main__":
    sys.exit(main())
