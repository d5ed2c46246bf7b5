"""What the rules are about: a report counts them by these themes."""

from collections.abc import Callable
from typing import Any, TypeVar

FUNCTION = "function"
IDEMPOTENCE = "idempotence"
CONCURRENCY = "concurrency"
KILL_POINTS = "kill points"
CAPACITY = "capacity"
HOSTILE_NAMES = "hostile names"
CLAIMS = "capability claims"

THEMES = (FUNCTION, IDEMPOTENCE, CLAIMS, CAPACITY, CONCURRENCY, KILL_POINTS, HOSTILE_NAMES)
"""In the order of a report."""

Rule = TypeVar("Rule", bound=Callable[..., Any])


def about(theme: str) -> Callable[[Rule], Rule]:
    """Says of a rule that it is about something else than the others of its class."""

    def decorate(rule: Rule) -> Rule:
        rule.theme = theme  # type: ignore[attr-defined]
        return rule

    return decorate


def theme_of(suite: type, rule: str) -> str:
    """The theme of a rule of a suite, by its name: its own, or that of the class that has it."""
    for owner in suite.__mro__:
        if rule in vars(owner):
            return str(getattr(vars(owner)[rule], "theme", None) or getattr(owner, "theme", FUNCTION))
    return FUNCTION
