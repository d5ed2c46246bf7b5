"""What the commands that measure a server have in common: their options, the peer, and what becomes of the results."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import page
from bench.measure import Remote
from bench.rounds import Results

PREFIX = "BENCH_PEER_"


def parser(command: str, description: str | None, tests: str, rounds: int = 5) -> argparse.ArgumentParser:
    """The options of `make COMMAND`, which compares these tests, with commas between them, so many times."""
    made = argparse.ArgumentParser(
        prog=f"make {command}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--repeat", type=int, default=10, help="operations of a kind in one round")
    made.add_argument("--tests", default=tests, help="some of %(default)s")
    made.add_argument("--json", type=Path, help="file for all figures")
    made.add_argument("--write", action="store_true", help="write BENCHMARKS.md without a peer, too")
    return made


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory for the block, below BENCH_DIR where that is set."""
    with tempfile.TemporaryDirectory(prefix="breezeblock-bench-", dir=os.environ.get("BENCH_DIR")) as made:
        yield Path(made)


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


def end(
    options: argparse.Namespace,
    results: Results,
    peer: Remote | None,
    *,
    title: str,
    text: str,
    save: Callable[[Path], object],
) -> int:
    """Print `text`, put it into BENCHMARKS.md below `title` where there was a peer or it is asked for, and tell what failed.

    `save` writes all figures. The exit code: 1 where a scenario failed.
    """
    print(text)
    if options.json:
        save(options.json)
    if peer or options.write:
        page.write(title, text)
    for failure in results.failures:
        print(f"FAILED {failure}")
    return 1 if results.failures else 0
