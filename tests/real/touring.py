"""Which calls a library has for block storage, and which of them a tour has made."""

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Self

from cinderclient import api_versions, base, utils

CONNECTOR = {"host": "tour", "ip": "127.0.0.1", "initiator": "iqn.2026-01.org.example:tour", "platform": "x86_64"}
"""What the hosts of the tours say of themselves."""


class Toured:
    """A client of openstacksdk whose calls are noted. `made` is shared by all users of a tour."""

    def __init__(self, client: Any, made: set[str]) -> None:
        self._client = client
        self._made = made

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        self._made.add(name)
        return found


def offered(client: Any) -> set[str]:
    """The calls of a client that openstacksdk made for block storage."""
    return {name for name, method in inspect.getmembers(client, inspect.ismethod) if _is_own(name, method)}


def _is_own(name: str, method: Any) -> bool:
    module: str = method.__func__.__module__
    return not name.startswith("_") and module.startswith("openstack.block_storage")


class Entered:
    """Which functions this thread enters while this is open, however they are reached."""

    def __init__(self) -> None:
        self._codes: set[CodeType] = set()

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def without(self, functions: dict[CodeType, str]) -> set[str]:
        """The names of those that were not entered."""
        return {name for code, name in functions.items() if code not in self._codes}

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self._codes.add(frame.f_code)


def functions_of_cinderclient(client: Any) -> dict[CodeType, str]:
    """What a client of cinderclient can be asked: each method of it, of its managers and of what these find.

    A method that is made otherwise for other microversions counts once for each.
    """
    managers = [part for part in vars(client).values() if isinstance(part, base.Manager)]
    classes = {type(client), *map(type, managers), *(manager.resource_class for manager in managers)}
    return {code: name for one in classes for code, name in _functions(one)}


def _functions(one: type) -> Iterator[tuple[CodeType, str]]:
    for name, method in inspect.getmembers(one, inspect.isfunction):
        if name.startswith("_") or not method.__module__.startswith(("cinderclient.v3", "list_extensions")):
            continue
        if not getattr(method, "versioned", False):
            yield method.__code__, f"{one.__name__}.{name}"
            continue
        for form in api_versions.get_substitutions(utils.get_function_name(method)):
            yield form.func.__code__, f"{one.__name__}.{name} from {form.start_version.get_string()}"


def until(look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """What `look` finds once it is as wanted."""
    deadline = time.monotonic() + 180
    while not holds(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found
