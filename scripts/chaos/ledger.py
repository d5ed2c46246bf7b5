"""What the users made and have not deleted, what must be in it, and who is at work with it."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from scripts.chaos.content import Content


class Item(msgspec.Struct, kw_only=True, eq=False):
    """A volume, snapshot or backup that is there, whole. `size` is GiB."""

    kind: str
    """volumes, snapshots or backups."""
    id: str
    backend: str
    size: int
    content: Content
    volume: str | None = None
    """The volume that a snapshot is of."""
    replicated: bool = False
    users: int = 0
    taken: bool = False


Fits = Callable[[Item], bool]


def _any(_: Item) -> bool:
    return True


class Ledger:
    """All items. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}

    def add(self, item: Item) -> None:
        """Note what was made, unless the volume that it is of went away meanwhile."""
        with self._lock:
            if item.volume is None or item.volume in self._items:
                self._items[item.id] = item

    def drop(self, item: Item) -> list[Item]:
        """Forget an item, and the snapshots of a volume; what was forgotten."""
        with self._lock:
            gone = [one for one in self._items.values() if item.id in (one.id, one.volume)]
            for one in gone:
                del self._items[one.id]
        return gone

    def count(self, kind: str) -> int:
        """How many there are."""
        with self._lock:
            return sum(item.kind == kind for item in self._items.values())

    def all(self) -> list[Item]:
        """Everything."""
        with self._lock:
            return list(self._items.values())

    @contextmanager
    def shared(self, chance: random.Random, kind: str, fits: Fits = _any) -> Iterator[Item | None]:
        """Some item that others may use too; None where none fits."""
        with self._lock:
            item = self._some(chance, kind, lambda one: not one.taken and fits(one))
            if item is not None:
                item.users += 1
        try:
            yield item
        finally:
            if item is not None:
                with self._lock:
                    item.users -= 1

    @contextmanager
    def taken(self, chance: random.Random, kind: str, fits: Fits = _any) -> Iterator[Item | None]:
        """Some item that nobody else uses meanwhile."""
        with self._lock:
            item = self._some(chance, kind, lambda one: not one.taken and not one.users and fits(one))
            if item is not None:
                item.taken = True
        try:
            yield item
        finally:
            if item is not None:
                item.taken = False

    def _some(self, chance: random.Random, kind: str, fits: Fits) -> Item | None:
        found = [item for item in self._items.values() if item.kind == kind and fits(item)]
        return chance.choice(found) if found else None
