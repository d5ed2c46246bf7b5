"""A driver whose verbs are timed."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

from breezeblock.drivers import contract
from breezeblock.drivers.contract import Driver

OPTIONAL: tuple[type, ...] = (
    contract.ClonesImages,
    contract.Hydrates,
    contract.AdoptsImages,
    contract.RevertsToSnapshots,
    contract.TellsChanges,
    contract.MigratesVolumes,
    contract.Manages,
    contract.Examinable,
    contract.SnapshotsGroups,
    contract.Replicates,
    contract.FailsOver,
)
"""The optional protocols of the contract."""

VERBS = [
    name
    for protocol in (Driver, *OPTIONAL)
    for name, verb in vars(protocol).items()
    if callable(verb) and name[0] != "_"
]
"""All verbs of the contract, the required ones first."""

Times = dict[str, list[float]]
"""The seconds of each successful call, by verb."""


def no_times() -> Times:
    """To be given to `timed`."""
    return defaultdict(list)


def timed(driver: Driver, times: Times) -> Driver:
    """The driver, with the time of each verb that succeeds added to `times`; itself as `__wrapped__`.

    Of a verb that answers an iterator the time is that of all it yields, of `open_volume` that until it is open.
    """
    names = {name for name in dir(driver) if not name.startswith("_")}
    own: dict[str, Any] = {name: property(_passed_on(driver, name)) for name in names}
    verbs = {name: staticmethod(_timed(getattr(driver, name), times, name)) for name in names.intersection(VERBS)}
    return cast(Driver, type("TimedDriver", (), {**own, **verbs, "__wrapped__": driver})())


def _passed_on(driver: Driver, name: str) -> Callable[[Any], Any]:
    return lambda _: getattr(driver, name)


def _timed(verb: Callable[..., Any], times: Times, name: str) -> Callable[..., Any]:
    @functools.wraps(verb)
    def call(*arguments: Any, **options: Any) -> Any:
        began = time.monotonic()
        answer = verb(*arguments, **options)
        if isinstance(answer, AbstractContextManager):
            return _entered(answer, times, name)
        if isinstance(answer, Iterator):
            answer = iter(list(answer))
        times[name].append(time.monotonic() - began)
        return answer

    return call


@contextmanager
def _entered(manager: AbstractContextManager[Any], times: Times, name: str) -> Iterator[Any]:
    began = time.monotonic()
    with manager as opened:
        times[name].append(time.monotonic() - began)
        yield opened
