"""Mends, at start, what a killed process left: dead work is removed and who stands on what is written anew.

Needs nothing but the directory. Only the process that owns the directory does it, before any verb runs.
"""

import logging
import os
from collections import defaultdict

from breezeblock.drivers.directory import durable
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.lineage import Lineage
from breezeblock.drivers.directory.store import Record, Store
from breezeblock.errors import BackendTransient

LOG = logging.getLogger(__name__)


def mend(store: Store, bases: Bases, lineage: Lineage) -> None:
    """Bring the directory to what its published records say."""
    users: dict[str, set[str]] = defaultdict(set)
    for folder in ("volumes", "snapshots", "bases"):
        for name in store.published(folder):
            record = _settled(store, lineage, name, may_have_strays=folder != "bases")
            for base in (record.base, record.switching.base if record.switching else None):
                if base is not None:
                    users[base].add(name)
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


def _settled(store: Store, lineage: Lineage, name: str, may_have_strays: bool) -> Record:
    """The record of an object after what was cut short is done or undone, and strays are gone.

    As it is, where the daemon that exports it does not answer: the next verb on it asks again.
    """
    try:
        record = lineage.current(name)
        if may_have_strays:
            lineage.tidy(record)
    except BackendTransient as error:
        LOG.error("%s is left as it is for now: %s", name, error)
        return store.get(name)
    return record


def _rewrite_users(store: Store, bases: Bases, base: str, users: set[str]) -> None:
    directory = store.home(base) / "users"
    durable.make_directory(directory)
    there = set(os.listdir(directory))
    for name in there - users:
        durable.remove_file(directory / name)
    for name in users - there:
        LOG.warning("%s stands on %s and was not noted there", name, base)
        bases.use(base, name)
