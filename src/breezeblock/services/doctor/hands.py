"""Who touches the storages while things are mended: the workers that own them, or this process where none runs."""

import time
import uuid
from types import TracebackType
from typing import Any, Self

from breezeblock.config import Settings
from breezeblock.context import RequestContext, admin_context
from breezeblock.db import operations, services, volumes
from breezeblock.db.connect import Database
from breezeblock.drivers.contract import Driver
from breezeblock.drivers.registry import open_driver
from breezeblock.errors import Conflict, NotFound
from breezeblock.flows import reconcile
from breezeblock.lockfile import LockFile

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.02


class Hands:
    """A context manager: holds the lock of SQLite's one worker where no worker has it, and the drivers it opened.

    On PostgreSQL everything is asked of the workers, whose owners prove that the one before them has ended.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lock = LockFile(settings.run_dir / "worker.lock") if database.is_sqlite else None
        self._drivers: dict[str, Driver] = {}
        self.context: RequestContext = admin_context()
        self.requested: list[str] = []
        """Ids of the operations that were asked of the workers."""

    def __enter__(self) -> Self:
        try:
            if self._lock is not None:
                self._lock.take()
        except Conflict:
            self._lock = None  # a worker runs, and is asked
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for driver in self._drivers.values():
            close: Any = getattr(driver, "close", None)
            if close is not None:
                close()
        if self._lock is not None:
            self._lock.release()

    def purge(self, backend: str, name: str, replica: bool = False) -> str:
        """Remove an object that no row wants, or have it removed; what was done."""
        if self._lock is not None:
            done = reconcile.purge(self._driver(backend), self._database, backend, name, replica)
            return f"removed {name}" if done else f"left {name}: a row wants it now"
        operation_id = self.new_operation()
        with self._database.begin() as connection:
            reconcile.request_purge(connection, self.context, operation_id, backend, name, replica)
        return f"asked the worker to remove {name} (operation {operation_id})"

    def settle_export(self, backend: str, volume_id: str) -> str:
        """Export a volume exactly if it is attached, or have that done; what was done."""
        if self._lock is not None:
            exported = reconcile.settle_export(self._driver(backend), self._database, volume_id)
            return "exported" if exported else "withdrew the export"
        operation_id = self.new_operation()
        with self._database.begin() as connection:
            operations.request_flow(
                connection,
                self.context,
                "reconcile_export",
                operation_id=operation_id,
                resource=volumes.get(connection, volume_id),
                arguments={"volume_id": volume_id},
            )
        return f"asked the worker to look after the export (operation {operation_id})"

    def new_operation(self) -> str:
        """The id for an operation that is about to be asked of a worker; `wait` waits for it."""
        self.requested.append(str(uuid.uuid4()))
        return self.requested[-1]

    def wait(self) -> list[str]:
        """Wait for what the workers were asked for, where one runs; the operations that did not end in time."""
        left = list(self.requested)
        deadline = time.monotonic() + (WAIT_SECONDS if self._lock is None else 0)
        while left:
            with self._database.read() as connection:
                left = [one for one in left if operations.is_pending(connection, one)]
            if time.monotonic() >= deadline:
                break
            time.sleep(LOOK_SECONDS)
        return left

    def _driver(self, backend: str) -> Driver:
        if backend not in self._drivers:
            own = next((one for one in self._settings.backends if one.backend == backend), None)
            if own is None:
                raise NotFound(f"The backend {backend} is not enabled in this configuration.")
            with self._database.read() as connection:
                active = services.active_backend_id(connection, backend)
            self._drivers[backend] = open_driver(own, active)
        return self._drivers[backend]
