"""What is simulated: slowness, failures and sudden death, and a list of the calls. For tests alone."""

import functools
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from breezeblock import errors
from breezeblock.errors import ConfigError
from breezeblock.model.image import Image
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

KINDS: dict[str, type[errors.DriverError]] = {
    "not_found": errors.BackendNotFound,
    "in_use": errors.BackendInUse,
    "out_of_space": errors.BackendOutOfSpace,
    "transient": errors.BackendTransient,
    "not_supported": errors.NotSupportedByBackend,
    "error": errors.DriverError,
}

VERBS: set[str] = set()
"""All verbs, as `verb` met them."""


class Call(msgspec.Struct, frozen=True):
    """One call of a verb. `size` is the GiB of its first volume or snapshot, at that time."""

    verb: str
    ids: tuple[str, ...]
    """Ids of the volumes, snapshots and images it was given, in order."""
    size: int | None
    values: tuple[Any, ...]
    """Its other arguments that are text, numbers or None, such as the new size or the content's name."""


class Faults:
    """Slows, fails or kills the verbs as the options say. What has struck is remembered as files in `directory`."""

    def __init__(self, directory: Path, latency: float, failures: Sequence[str], kill_points: Sequence[str]) -> None:
        self.calls: list[Call] = []
        self.directory = directory
        self.latency = latency
        self.failures = [_failure(text) for text in failures]
        self.kill_points = [_kill_point(text) for text in kill_points]

    def before(self, verb: str, arguments: Sequence[Any]) -> None:
        """Note the call, then be slow, die or fail."""
        self.calls.append(_call(verb, arguments))
        time.sleep(self.latency)
        self._kill(verb, "before")
        for number, (failing, kind, times) in enumerate(self.failures):
            if failing == verb and any(self._first_time(f"failure-{number}-{time}") for time in range(times)):
                raise KINDS[kind](f"Simulated failure of {verb}: {kind}.")

    def after(self, verb: str) -> None:
        """Die when all is done and nobody has been told."""
        self._kill(verb, "after")

    def _kill(self, verb: str, when: str) -> None:
        for number, point in enumerate(self.kill_points):
            if point == (verb, when) and self._first_time(f"kill-{number}"):
                os.kill(os.getpid(), signal.SIGKILL)

    def _first_time(self, name: str) -> bool:
        try:
            os.close(os.open(self.directory / name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        return True


class _Simulates(Protocol):
    faults: Faults


Self_ = TypeVar("Self_", bound=_Simulates)
Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def verb(
    method: Callable[Concatenate[Self_, Given], Answer],
) -> Callable[Concatenate[Self_, Given], Answer]:
    """A verb of the contract, which the faults strike before and after."""
    name = method.__name__
    VERBS.add(name)

    @functools.wraps(method)
    def struck(self: Self_, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        self.faults.before(name, [*args, *kwargs.values()])
        answer = method(self, *args, **kwargs)
        self.faults.after(name)
        return answer

    return struck


def _call(verb: str, arguments: Sequence[Any]) -> Call:
    things = [argument for argument in arguments if isinstance(argument, Volume | Snapshot | Image)]
    sizes = [_size(thing) for thing in things if not isinstance(thing, Image)]
    values = tuple(argument for argument in arguments if argument is None or isinstance(argument, str | int))
    return Call(verb, tuple(thing.id for thing in things), sizes[0] if sizes else None, values)


def _size(thing: Volume | Snapshot) -> int:
    return thing.size if isinstance(thing, Volume) else thing.volume_size


def _failure(text: str) -> tuple[str, str, int]:
    verb, kind, times = (*text.split(":"), "1", "")[:3]
    if verb not in VERBS or kind not in KINDS or not times.isdigit():
        raise ConfigError(f"simulated_failures: {text} is not VERB:KIND[:TIMES]; kinds are {', '.join(KINDS)}.")
    return verb, kind, int(times)


def _kill_point(text: str) -> tuple[str, str]:
    verb, _, when = text.partition(":")
    if verb not in VERBS or when not in {"before", "after"}:
        raise ConfigError(f"simulated_kill_points: {text} is not VERB:before or VERB:after.")
    return verb, when
