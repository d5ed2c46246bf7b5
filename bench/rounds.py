"""Rounds: every scenario on every server in turn, again and again, so that what else the machine does hits all alike."""

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

import msgspec

from bench.scenarios import Sample, Target, run, seed_listing, unseed_listing

LISTING = frozenset({"list", "crowd_list"})
"""Scenarios that need the volumes to list."""


class Subject(Protocol):
    """A server that takes part in the rounds."""

    name: str

    def begin_round(self) -> tuple[Target, dict[str, Sample]]:
        """Make ready for a round; returns where to measure, and what making ready has shown (a start's time)."""
        ...


class Results(msgspec.Struct):
    """All figures: server -> scenario -> one sample a round. `failures` tells what went wrong where."""

    machine: str
    rounds: int
    figures: dict[str, dict[str, list[Sample]]]
    failures: list[str] = msgspec.field(default_factory=list)

    def median(self, server: str, scenario: str) -> Sample | None:
        """The medians over the rounds; None where the scenario has no figures."""
        samples = self.figures.get(server, {}).get(scenario, [])
        if not samples:
            return None
        fields = [field for field in Sample.__struct_fields__ if field != "operations"]
        values = {field: [getattr(s, field) for s in samples if getattr(s, field) is not None] for field in fields}
        medians = {field: median(found) for field, found in values.items() if found}
        return Sample(operations=samples[0].operations, **medians)

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def measure(subjects: Sequence[Subject], scenarios: Sequence[str], rounds: int) -> Results:
    """Run the scenarios. One that fails is noted and printed, and the others go on."""
    results = Results(machine=_machine(), rounds=rounds, figures={subject.name: {} for subject in subjects})
    seeded: dict[str, list[str]] = {}
    targets: dict[str, Target] = {}
    for number in range(rounds):
        for subject in subjects:
            target, figures = subject.begin_round()
            targets[subject.name] = target
            if not LISTING.isdisjoint(scenarios) and subject.name not in seeded:
                say(f"{subject.name}: making the volumes to list")
                seeded[subject.name] = seed_listing(target)
            _note(results, subject.name, figures)
        for scenario in scenarios:
            for name, target in targets.items():
                say(f"round {number + 1} of {rounds}: {name}: {scenario}")
                try:
                    _note(results, name, run(scenario, target))
                except Exception as failure:
                    results.failures.append(f"{name}: {scenario}: {failure!r}")
                    say(f"FAILED {results.failures[-1]}")
    for name, made in seeded.items():
        unseed_listing(targets[name], made)
    return results


def _note(results: Results, server: str, figures: dict[str, Sample]) -> None:
    for scenario, sample in figures.items():
        results.figures[server].setdefault(scenario, []).append(sample)


def _machine() -> str:
    return f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def say(line: str) -> None:
    """Tell the one who waits what is under way."""
    print(line, file=sys.stderr, flush=True)
