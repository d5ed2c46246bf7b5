"""Mends, at start, what a killed process left: dead work is removed and who stands on what is written anew.

Needs nothing but the directory. Only the process that owns the directory does it, before any verb runs.
"""

import logging
import os
from collections import defaultdict

from breezeblock.drivers.directory import durable
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.lineage import Lineage
from breezeblock.drivers.directory.store import Store

LOG = logging.getLogger(__name__)


def mend(store: Store, bases: Bases, lineage: Lineage) -> None:
    """Bring the directory to what its published records say."""
    users: dict[str, set[str]] = defaultdict(set)
    for folder in ("volumes", "snapshots", "bases"):
        for name in store.published(folder):
            record = lineage.current(name)
            if record.base is not None:
                users[record.base].add(name)
            if folder != "bases":
                lineage.tidy(record)
    for base in list(store.published("bases")):
        _rewrite_users(store, bases, base, users[base])
    for name in list(store.unfinished()):
        LOG.info("removing the unfinished work on %s", name)
        lineage.discard(name)
    for entry in os.scandir(store.root / "tmp"):
        if entry.is_file(follow_symlinks=False):
            durable.remove_file(store.root / "tmp" / entry.name)
    for base in list(store.published("bases")):
        bases.collect(base)


def _rewrite_users(store: Store, bases: Bases, base: str, users: set[str]) -> None:
    directory = store.home(base) / "users"
    durable.make_directory(directory)
    there = set(os.listdir(directory))
    for name in there - users:
        durable.remove_file(directory / name)
    for name in users - there:
        LOG.warning("%s stands on %s and was not noted there", name, base)
        bases.use(base, name)
