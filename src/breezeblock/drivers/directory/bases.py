"""Hidden read-only bases, and who stands on them.

Each base keeps one file a user, `users/<name>`, written before the user is published. The files are an index that
never knows too few: a user counts only while its own record names the base, so counts are derived, and a stale file
is dropped when the base is looked at. A base without users is removed, and then perhaps the one below it.
"""

import os
import threading
from pathlib import Path

from breezeblock.drivers.directory import durable
from breezeblock.drivers.directory.content import Link
from breezeblock.drivers.directory.store import ADOPTED, Record, Store
from breezeblock.errors import BackendNotFound


class Bases:
    """The bases of one directory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()  # adding a user and finding that there is none exclude each other

    def use(self, base: str, user: str) -> None:
        """Note, on the disk, that `user` is about to stand on `base`. Raises `BackendNotFound` if it is gone."""
        users = self._users(base)
        with self._lock:
            try:
                os.close(os.open(users / user, os.O_WRONLY | os.O_CREAT, 0o600))
            except FileNotFoundError:
                raise BackendNotFound(f"The storage has no base {base} any more.") from None
            durable.sync_directory(users)

    def release(self, base: str | None, user: str) -> None:
        """`user` stands on `base` no more; the base goes when nobody does. Gone is done."""
        if base is None:
            return
        published = self._store.read(user)
        if published is not None and published.base == base:
            return
        durable.remove_file(self._users(base) / user)
        self.collect(base)

    def collect(self, base: str | None) -> None:
        """Remove a base that nobody stands on, and then those below it that it was the last user of."""
        while base is not None:
            with self._lock:
                if self.is_used(base):
                    return
                self._store.retire(base)
            below = {remains.base for remains in self._store.remains(base)} - {None}
            for name in below:
                durable.remove_file(self._users(str(name)) / base)
            self._store.sweep(base)
            base = below.pop() if below else None

    def is_used(self, base: str) -> bool:
        """Whether anybody stands on `base`; files of those who do not are dropped."""
        try:
            names = os.listdir(self._users(base))
        except FileNotFoundError:
            return False
        for name in names:
            if self._stands_on(name, base):
                return True
            durable.remove_file(self._users(base) / name)
        return False

    def _stands_on(self, name: str, base: str) -> bool:
        # what is being published leaves tmp for its place: looked for in that order, it is not missed
        if any(record.base == base for record in self._store.remains(name)):
            return True
        record = self._store.read(name)
        return record is not None and base in (record.base, record.switching and record.switching.base)

    def _users(self, base: str) -> Path:
        return self._store.home(base) / "users"

    def links(self, record: Record) -> list[Link]:
        """The files that a published object is read from, topmost first."""
        links = [Link(self._store.disk(record), record.format)] if record.disk else []
        below = record.base
        while below is not None:
            base = self._store.get(below)
            links.append(Link(self._store.disk(base), base.format, passing=base.disk == ADOPTED))
            below = base.base
        return links
