"""What a check of a driver found."""

import statistics

import msgspec

from breezeblock.drivers.check.timing import VERBS, Times

PASSED, FAILED, SKIPPED, NOT_RUN = "passed", "failed", "skipped", "not_run"
OUTCOMES = (PASSED, FAILED, SKIPPED, NOT_RUN)


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule."""

    name: str
    """Of the test, with its parameters in brackets."""
    theme: str
    rule: str
    """What it asks of a driver: the test's docstring."""
    outcome: str
    """One of `OUTCOMES`."""
    reason: str | None = None
    """Why it failed, was skipped or was not run."""
    details: str | None = None
    """Of a rule that failed, the traceback."""
    seconds: float = 0.0


class VerbTime(msgspec.Struct, frozen=True, kw_only=True):
    """How long the calls of a verb took that succeeded."""

    verb: str
    calls: int
    median_seconds: float
    worst_seconds: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole check."""

    driver: str
    distribution: str
    """The installed package that has the driver, with its version."""
    backend: str
    """The section that it was checked with."""
    implements: list[str]
    """The optional protocols it implements."""
    rules: list[RuleResult]
    verbs: list[VerbTime]
    seconds: float
    left: list[str] = []
    """What the storage holds when all is over."""

    def of(self, outcome: str) -> list[RuleResult]:
        """The rules with this outcome."""
        return [one for one in self.rules if one.outcome == outcome]

    @property
    def ok(self) -> bool:
        """Whether the driver keeps all rules, of which there are some, and left nothing."""
        return bool(self.of(PASSED)) and not self.of(FAILED) and not self.of(NOT_RUN) and not self.left


def verb_times(times: Times) -> list[VerbTime]:
    """The figures of each verb that was called, in the contract's order."""
    return [
        VerbTime(
            verb=verb,
            calls=len(times[verb]),
            median_seconds=round(statistics.median(times[verb]), 6),
            worst_seconds=round(max(times[verb]), 6),
        )
        for verb in dict.fromkeys(VERBS)
        if times.get(verb)
    ]
