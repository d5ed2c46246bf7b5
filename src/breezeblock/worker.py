"""The worker: owns backends by their slots' locks, runs their flows, and does what nobody asks for.

That is: reporting capacity, keeping replicas in step, and having the exports of attached volumes there, after a start
and after the death of an export daemon.
"""

import functools
import logging
import threading
from collections.abc import Callable, Sequence

from sqlalchemy.engine import Connection

import breezeblock.flows.accept_transfer
import breezeblock.flows.adoption
import breezeblock.flows.attach
import breezeblock.flows.backups
import breezeblock.flows.create_volume
import breezeblock.flows.delete_backup
import breezeblock.flows.delete_volume
import breezeblock.flows.failover
import breezeblock.flows.group_snapshots
import breezeblock.flows.groups
import breezeblock.flows.image_cache
import breezeblock.flows.image_keys
import breezeblock.flows.import_backup
import breezeblock.flows.manage
import breezeblock.flows.migrate
import breezeblock.flows.reconcile
import breezeblock.flows.reimage
import breezeblock.flows.resize
import breezeblock.flows.restore_backup
import breezeblock.flows.retype
import breezeblock.flows.revert
import breezeblock.flows.snapshots
import breezeblock.flows.upload_image  # noqa: F401  each module registers its flows
from breezeblock import killpoints
from breezeblock.config import BackendSettings, Settings
from breezeblock.db import attachments, operations, pools, services, volumes
from breezeblock.db.connect import Database
from breezeblock.db.slot import LostSlot, Slot, end_process
from breezeblock.delivery.publisher import Publisher, open_sinks
from breezeblock.drivers.contract import Driver, Hydrates
from breezeblock.drivers.registry import make_driver, use_backend
from breezeblock.errors import BreezeblockError, ConfigError, Conflict
from breezeblock.flows import failover, hydrate, replicas
from breezeblock.flows.backend import Backend, make_backend
from breezeblock.flows.engine import Engine, message_for_user
from breezeblock.images.catalog import ImageCatalog
from breezeblock.lockfile import LockFile
from breezeblock.model import clock
from breezeblock.model.volume import Volume

log = logging.getLogger(__name__)

VOLUME_BINARY = "cinder-volume"

TICK_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 60.0
"""Between two tries to use a storage that cannot be used; each pause is twice the last one."""

ROUNDS = "rounds"
"""As what the rounds pass the gate of a backend."""

WAKE_SECONDS = 1.0
"""The main thread handles signals, but does not wake for one that another thread got: as after a SIGSTOP."""


class Worker:
    """One process's share of the work: some slots of some backends, one engine each."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        images: ImageCatalog,
        backends: Sequence[BackendSettings],
        slots: Sequence[int] = (),
    ) -> None:
        """`slots` are the numbers of those that this process may own, by default all that a backend has.

        Raises:
            ConfigError: a backend has no such slot, or cannot have several.
        """
        self._only = LockFile(settings.run_dir / "worker.lock") if database.is_sqlite else None
        self._owned = [
            _Owned(settings, database, images, own, number)
            for own in backends
            for number in _numbers(database, own, slots)
        ]
        self._publisher = Publisher(settings, database, open_sinks(settings))
        self._failures: list[Exception] = []

    def run(self) -> None:
        """Run until `stop`; stand by for each backend that another worker owns.

        A backend whose storage cannot be used is reported as down and tried again; the others do not suffer.

        Raises:
            Conflict: the database is SQLite, and has its worker.
        """
        if self._only is not None:
            self._take_only()
        threads = [threading.Thread(target=self._run, args=(owned,), name=owned.name) for owned in self._owned]
        threads.append(threading.Thread(target=self._run, args=(self._publisher,), name="events"))
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(WAKE_SECONDS)
        for owned in self._owned:
            owned.release()
        if self._only is not None:
            self._only.release()
        if self._failures:
            raise self._failures[0]

    def stop(self) -> None:
        """End `run` soon: short steps finish, long copies are left to be resumed."""
        for owned in self._owned:
            owned.stop()
        self._publisher.stop()

    def _take_only(self) -> None:
        assert self._only is not None
        try:
            self._only.take()
        except Conflict as error:
            raise Conflict(
                f"SQLite has one worker process, enforced: {error.message} Several workers need PostgreSQL."
            ) from None

    def _run(self, owned: "_Owned | Publisher") -> None:
        try:
            owned.run()
        except Exception as error:
            self._failures.append(error)
            self.stop()


def _numbers(database: Database, own: BackendSettings, wanted: Sequence[int]) -> Sequence[int]:
    """The slots of a backend that are `wanted` here. Raises `ConfigError`."""
    if own.backend_slots > 1 and database.is_sqlite:
        raise ConfigError(f"Backend {own.name} has backend_slots = {own.backend_slots}; several slots need PostgreSQL.")
    for number in wanted:
        if not 0 <= number < own.backend_slots:
            raise ConfigError(f"Backend {own.name} has no slot {number}: backend_slots is {own.backend_slots}.")
    if wanted:
        return wanted
    # a slot that was there once may still have flows
    with database.read() as connection:
        return range(max(own.backend_slots, operations.slots_taken(connection, own.backend)))


class _Owned:
    """A slot of a backend that this process owns, or stands by for. The owner of #0 does what there is once a backend."""

    def __init__(
        self, settings: Settings, database: Database, images: ImageCatalog, own: BackendSettings, number: int
    ) -> None:
        self.name = own.backend
        self._number = number
        self._settings = settings
        self._images = images
        self._own = own
        self._url = None if database.is_sqlite else database.url
        self._slot = self._new_slot()
        self._database = database.guarded(self._verify) if self._slot else database
        self._driver: Driver = killpoints.watched(make_driver(own))
        if number and not self._driver.capabilities.shared:
            raise ConfigError(
                f"Backend {own.name} has backend_slots = {own.backend_slots}, "
                f"but the driver {own.volume_driver} lets one process work on its storage."
            )
        self._backend: Backend
        self._engine: Engine | None = None
        self._unrestored: set[str] = set()
        self._log_levels: dict[str, str] = {}
        self._stopping = threading.Event()
        self._started_at = clock.now()

    def run(self) -> None:
        """Own the backend; then report, restore exports, and run flows. The rounds go on in a thread beside."""
        if not self._set_up():
            return
        engine = self._open()
        self._backend.sources.start()
        self._guarded(functools.partial(hydrate.serve_pending, self._backend))
        if self._number:
            engine.run()
        else:
            self._round()
            self._guarded(functools.partial(self._at_storage, self._restore_exports))
            rounds = threading.Thread(target=self._rounds, name=f"{self.name} rounds", daemon=True)
            rounds.start()
            engine.run()
            rounds.join()
        self._backend.sources.close()

    def stop(self) -> None:
        """Have `run` end."""
        self._stopping.set()
        if self._slot is not None:
            self._slot.stop()
        if self._engine is not None:
            self._engine.stop()

    def release(self) -> None:
        """Give the slot to the next owner."""
        if self._slot is not None:
            self._slot.release()

    def _new_slot(self) -> Slot | None:
        return Slot(self._url, f"{self.name}#{self._number}") if self._url is not None else None

    def _set_up(self) -> bool:
        """Own the slot and have the storage ready; False when `stop` came first.

        Nothing of the storage is touched before the slot is this process's. Where it cannot be used, the slot is given
        back for the time of the pause: a standby may have more luck. One that is to be failed over need not be usable.
        """
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            if self._slot is not None and not self._slot.take():
                return False
            try:
                self._go_where_it_works()
                self._driver.check_for_setup_error()
            except Exception as error:
                if self._order_to_leave() is not None:
                    return True
                unexpected = None if isinstance(error, BreezeblockError) else error
                log.error(
                    "backend %s cannot be used, again in %.0f s: %s", self.name, pause, error, exc_info=unexpected
                )
                self._guarded(functools.partial(self._report_problem, error))
            else:
                return True
            self.release()
            self._slot = self._new_slot()
            self._stopping.wait(pause)
            pause = min(2 * pause, MOST_PAUSE_SECONDS)
        return False

    def _go_where_it_works(self) -> None:
        with self._database.read() as connection:
            active = services.active_backend_id(connection, self.name)
        use_backend(self._driver, self._own, active)

    def _order_to_leave(self) -> str | None:
        with self._database.read() as connection:
            return failover.order_of(connection, self.name)

    def _open(self) -> Engine:
        self._backend = make_backend(
            self._settings, self._own, self._driver, self._database, self._images, self._number
        )
        if (order := self._order_to_leave()) is not None:
            self._backend.gate.close(order)
        self._engine = engine = Engine(self._backend)
        if self._stopping.is_set():
            engine.stop()  # `stop` may have come before there was an engine
        return engine

    def _verify(self, connection: Connection) -> None:
        """Goes before each transaction: one who has lost the slot ends, and writes nothing."""
        assert self._slot is not None
        try:
            self._slot.verify(connection)
        except LostSlot as lost:
            end_process(str(lost))

    def _rounds(self) -> None:
        interval = self._backend.settings.backend_stats_polling_interval
        waited = 0.0
        while not self._stopping.wait(TICK_SECONDS):
            waited += TICK_SECONDS
            if waited >= interval:
                waited = 0.0
                self._round()
            self._guarded(functools.partial(self._at_storage, self._restore_exports))
            self._guarded(functools.partial(self._at_storage, self._refresh_replicas))
            self._guarded(self._heed_log_levels)

    def _round(self) -> None:
        self._guarded(functools.partial(self._at_storage, self._report))

    def _at_storage(self, call: Callable[[], None]) -> None:
        """Do it, unless the backend changes its place just now."""
        with self._backend.gate.passing(ROUNDS) as may:
            if may:
                call()

    def _guarded(self, call: Callable[[], None]) -> None:
        """A storage or database that does not answer now may answer in the next round; nobody waits for this one."""
        try:
            call()
        except BreezeblockError as error:
            log.warning("backend %s: %s", self.name, error)

    def _report(self) -> None:
        try:
            found = self._backend.driver.get_volume_stats()
        except BreezeblockError as error:
            self._report_problem(error)
            raise
        own = self._own
        with killpoints.within("report_pools", anew=True), self._database.begin() as connection:
            pools.report(connection, self.name, found)
            for host, binary in (
                (self.name, VOLUME_BINARY),
                (own.host, "cinder-scheduler"),
                (own.host, "cinder-backup"),
            ):
                pools.report_service(connection, host, binary, own.availability_zone, self._started_at)
            services.report_replication(connection, self.name, self._driver.capabilities.failover)

    def _report_problem(self, error: Exception) -> None:
        """Place nothing here, and tell why, until the storage is well again."""
        zone, why = self._own.availability_zone, message_for_user(error)
        with self._database.begin() as connection:
            pools.mark_down(connection, self.name)
            pools.report_service(connection, self.name, VOLUME_BINARY, zone, self._started_at, why)

    def _heed_log_levels(self) -> None:
        """Log as an administrator has said since the last look."""
        with self._database.read() as connection:
            found = services.all_services(connection, self.name, VOLUME_BINARY)
        wanted = found[0].log_levels if found else {}
        for name, level in wanted.items():
            if self._log_levels.get(name) != level:
                logging.getLogger(name or None).setLevel(level)
        self._log_levels = wanted

    def _refresh_replicas(self) -> None:
        with killpoints.within("request_refresh", anew=True):
            replicas.request_due(self._backend)

    def _restore_exports(self) -> None:
        """Connected volumes are reachable: before the first flow runs, and again when an export daemon has died."""
        with self._database.read() as connection:
            wanted = attachments.connected_on(connection, self.name)
            connected = [one for one in volumes.on_backend(connection, self.name) if one.id in wanted]
        for volume in connected:
            if self._backend.gate.is_closed_for(ROUNDS):
                return
            if self._is_fenced(volume):
                continue
            try:
                with killpoints.within("restore_exports", anew=True):
                    self._restore_export(volume)
            except BreezeblockError as error:
                if volume.id not in self._unrestored:
                    log.error("volume %s is connected but its export could not be restored: %s", volume.id, error)
                self._unrestored.add(volume.id)
            else:
                self._unrestored.discard(volume.id)

    def _restore_export(self, volume: Volume) -> None:
        self._backend.driver.ensure_export(volume)
        if not self._is_wanted(volume.id):
            # a detach went by between the look at the rows and the export
            self._backend.driver.terminate_connection(volume, None)

    def _is_fenced(self, volume: Volume) -> bool:
        """Whether a volume must not be exported: its image proved to be wrong."""
        driver = self._backend.driver
        return (
            volume.status == "error"
            and isinstance(driver, Hydrates)
            and volume.storage_name in set(driver.list_hydrating())
        )

    def _is_wanted(self, volume_id: str) -> bool:
        """Whether a volume has a connection that nobody is about to end."""
        with self._database.read() as connection:
            pending = operations.pending_on(connection, self.name)
            ending = {one.arguments["attachment_id"] for one in pending if one.flow == "disconnect_volume"}
            present = attachments.connected(connection, volume_id)
        return any(one.id not in ending for one in present)
