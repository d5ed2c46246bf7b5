"""Clients whose calls are noted, so that a tour of a library can tell which of its calls it has not made."""

import inspect
from typing import Any


class Toured:
    """A client, or a part of one such as `volumes`. `made` is shared by all users of a tour."""

    def __init__(self, client: Any, made: set[str], prefix: str = "") -> None:
        self._client = client
        self._made = made
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if _is_part(found):
            return Toured(found, self._made, f"{name}.")
        self._made.add(self._prefix + name)
        return found


def offered(client: Any) -> set[str]:
    """The calls of a client that its library made for block storage."""
    own = {name for name, method in inspect.getmembers(client, inspect.ismethod) if _is_own(name, method)}
    parts = {name: part for name, part in vars(client).items() if _is_part(part)}
    return own | {f"{name}.{call}" for name, part in parts.items() for call in offered(part)}


def _is_part(found: Any) -> bool:
    return type(found).__module__.startswith("cinderclient.v3")


def _is_own(name: str, method: Any) -> bool:
    module: str = method.__func__.__module__
    return not name.startswith("_") and module.startswith(("openstack.block_storage", "cinderclient.v3"))
