"""What really lies where content is kept: the backends' storages, the backup store and the local image store.

Looked at without taking anything over: it may all be at work.
"""

import os
import re
from collections.abc import Iterable

import msgspec

from breezeblock.config import BackendSettings, Settings
from breezeblock.drivers.contract import AdoptsImages, Closes, Driver, Examinable, Hydrates
from breezeblock.drivers.registry import make_driver, use_backend
from breezeblock.encryption.open import open_keys
from breezeblock.errors import BackendNotFound, BackendTransient, BreezeblockError
from breezeblock.images import files
from breezeblock.keys.local import LocalKeys

UNFINISHED = ".tmp"
UPLOAD = ".upload"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """What the storage of one backend has. Without `Examinable`, what it cannot tell is None."""

    backend: str
    objects: frozenset[str] = frozenset()
    unfinished: frozenset[str] = frozenset()
    """Names of half-made objects, without `.tmp`."""
    sizes: dict[str, int | None] = {}
    """Bytes by name of a complete object; None where its content is lost."""
    exports: frozenset[str] | None = None
    replicas: frozenset[str] | None = None
    """Of complete and half-made replicas, without `.tmp`."""
    silence: str | None = None
    """Why it is not known what is exported."""
    hydrating: frozenset[str] = frozenset()
    """Names of volumes that still read what they are made of."""
    adopted: frozenset[str] = frozenset()
    """Names of volumes, there or gone, for which an image was adopted that is still read."""
    problem: str | None = None
    """Why it could not be looked at; then nothing is known of it."""


def look_at_storage(own: BackendSettings, active_backend_id: str | None) -> Storage:
    """What a backend has at this moment, at its storage or at the replication target that it is failed over to.

    Then it is not looked at what its own storage has: that may be gone, and is put right by the failback.
    """
    try:
        driver = make_driver(own)
        try:
            use_backend(driver, own, active_backend_id)
            return _look(own, driver, active_backend_id)
        finally:
            if isinstance(driver, Closes):
                driver.close()
    except (BreezeblockError, OSError) as error:
        return Storage(backend=own.backend, problem=str(error))


def _look(own: BackendSettings, driver: Driver, active_backend_id: str | None) -> Storage:
    listed = set(driver.list_objects())
    complete = frozenset(name for name in listed if not name.endswith(UNFINISHED))
    found = Storage(backend=own.backend, objects=complete, unfinished=_without_mark(listed - complete))
    if isinstance(driver, Hydrates):
        found = msgspec.structs.replace(found, hydrating=frozenset(driver.list_hydrating()))
    if isinstance(driver, AdoptsImages):
        found = msgspec.structs.replace(found, adopted=frozenset(driver.list_adopted()))
    if not isinstance(driver, Examinable):
        return found
    exports, silence = _exports(driver)
    return msgspec.structs.replace(
        found,
        sizes=_sizes(driver, complete),
        exports=exports,
        silence=silence,
        replicas=None if active_backend_id else _without_mark(driver.list_replicas()),
    )


def _exports(driver: Examinable) -> tuple[frozenset[str] | None, str | None]:
    try:
        return frozenset(driver.list_exports()), None
    except BackendTransient as error:
        return None, error.message


def _sizes(driver: Examinable, names: Iterable[str]) -> dict[str, int | None]:
    sizes: dict[str, int | None] = {}
    for name in names:
        try:
            sizes[name] = driver.size_of(name)
        except BackendNotFound:
            sizes[name] = None  # lost, or deleted since it was listed; the rows tell which
    return sizes


def _without_mark(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.removesuffix(UNFINISHED) for name in names)


def look_at_keys(settings: Settings) -> frozenset[str] | None:
    """The ids of all keys of encrypted volumes; None where they are kept elsewhere."""
    keys = open_keys(settings)
    return frozenset(keys.ids()) if isinstance(keys, LocalKeys) else None


def look_at_images(settings: Settings) -> frozenset[str] | None:
    """The names of the image store's files that no upload is writing now; None where images are kept elsewhere."""
    if settings.image_service == "glance":
        return None
    root = settings.path("image_store_path", "images")
    names: set[str] = set()
    for path in root.iterdir() if root.exists() else ():
        if not UUID.fullmatch(path.name.removesuffix(UPLOAD)):
            continue
        if not path.name.endswith(UPLOAD):
            names.add(path.name)
            continue
        try:
            with files.owned(path, os.O_RDWR) as mine:
                if mine is not None:
                    names.add(path.name)
        except FileNotFoundError:
            continue  # removed just now
    return frozenset(names)
