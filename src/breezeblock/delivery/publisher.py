"""The publisher: hands the outbox to each sink, at least once, in order of number; and forgets what is old.

One process at a time does it, the owner of the slot `events#0`. Each sink has a thread and a cursor of its own, so that
one that does not answer holds up no other. A crash, or the end of a slot, means that at most a batch comes twice.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import deliveries, outbox, retention
from breezeblock.db.connect import Database
from breezeblock.db.horizon import Horizon
from breezeblock.db.outbox import Event
from breezeblock.db.slot import LostSlot, Slot, end_process
from breezeblock.db.wake import Alarm, open_alarm
from breezeblock.delivery.notifications import Notifications
from breezeblock.delivery.sink import NotDelivered, Sink
from breezeblock.delivery.webhook import Webhook
from breezeblock.errors import DatabaseUnavailable
from breezeblock.model import clock

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
HORIZON_SECONDS = 0.02
"""After this a writer that holds a number back is looked at again."""

BATCH = 100
"""Events that a sink gets before its cursor is saved."""

RETRY_SECONDS = (1.0, 60.0)
"""The first pause after a failure, doubled each time, and the longest."""

PRUNE_SECONDS = 3600.0


def open_sinks(settings: Settings) -> list[Sink]:
    """The sinks that the configuration asks for. Raises `ConfigError`."""
    sinks: list[Sink] = []
    if settings.events["webhook_url"]:
        sinks.append(Webhook(settings))
    if settings.events["notification_transport_url"]:
        sinks.append(Notifications(settings))
    return sinks


class Publisher:
    """Delivers and forgets, in the thread that calls `run`, as long as it owns the slot."""

    def __init__(self, settings: Settings, database: Database, sinks: list[Sink]) -> None:
        self._settings = settings
        # with SQLite there is one worker process, enforced, and so one publisher
        self._slot = None if database.is_sqlite else Slot(database.url, outbox.SLOT)
        self._database = database.guarded(self._verify) if self._slot else database
        self._couriers = [_Courier(self._database, sink) for sink in sinks]
        self._alarm: Alarm | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Stand by until the slot is ours, then work until `stop`."""
        if self._slot is not None and not self._slot.take():
            return
        threads = [threading.Thread(target=one.run, name=f"events to {one.name}") for one in self._couriers]
        for thread in threads:
            thread.start()
        rounds = threading.Thread(target=self._rounds, name="pruning")
        rounds.start()
        while self._couriers and not self._stopping.is_set():
            try:
                self._pass_wakes_on()
            except DatabaseUnavailable as error:
                log.warning("events wait for the next sweep: %s", error)
                self._stopping.wait(RETRY_SECONDS[0])
        for thread in [*threads, rounds]:
            thread.join()
        if self._slot is not None:
            self._slot.release()

    def _pass_wakes_on(self) -> None:
        alarm = self._alarm = open_alarm(self._database, outbox.SLOT)
        try:
            while not self._stopping.is_set():
                for courier in self._couriers:
                    courier.wake()
                alarm.wait(SWEEP_SECONDS)
        finally:
            self._alarm = None
            alarm.close()

    def stop(self) -> None:
        """Have `run` end: what is being sent is sent, the cursors are saved."""
        self._stopping.set()
        if (alarm := self._alarm) is not None:
            alarm.ring()
        for courier in self._couriers:
            courier.stop()
        if self._slot is not None:
            self._slot.stop()

    def prune(self) -> None:
        """Forget what is older than the configuration keeps, in batches with room for others between."""
        now = datetime.now(UTC)
        sinks = [courier.name for courier in self._couriers]

        def events(connection: Connection) -> int:
            before = now - timedelta(days=self._settings.event_retention_days)
            delivered = deliveries.delivered_to_all(connection, sinks)
            return retention.prune_events(connection, before.strftime(clock.FORMAT), delivered)

        def operations(connection: Connection) -> int:
            before = now - timedelta(days=self._settings.operation_retention_days)
            return retention.prune_operations(connection, before.strftime(clock.FORMAT))

        self._in_batches(events)
        self._in_batches(operations)
        self._in_batches(lambda connection: retention.prune_messages(connection, clock.now()))

    def _in_batches(self, prune: Callable[[Connection], int]) -> None:
        while not self._stopping.is_set():
            with self._database.begin() as connection:
                if prune(connection) < retention.BATCH:
                    return

    def _rounds(self) -> None:
        while not self._stopping.is_set():
            try:
                self.prune()
            except DatabaseUnavailable as error:
                log.warning("pruning is put off: %s", error)
            self._stopping.wait(PRUNE_SECONDS)

    def _verify(self, connection: Connection) -> None:
        assert self._slot is not None
        try:
            self._slot.verify(connection)
        except LostSlot as lost:
            end_process(str(lost))


class _Courier:
    """Brings one sink its events."""

    def __init__(self, database: Database, sink: Sink) -> None:
        self.name = sink.name
        self._database = database
        self._sink = sink
        self._horizon = Horizon()
        self._number = -1  # not known yet
        self._woken = threading.Event()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Deliver what there is and what comes, until `stop`."""
        pause, longest = RETRY_SECONDS
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._deliver()
            except Exception as error:  # none may end the courier: the event waits, and so do those behind it
                expected = isinstance(error, NotDelivered | DatabaseUnavailable)
                log.log(
                    logging.WARNING if expected else logging.ERROR,
                    "events to %s wait behind number %d: %s; tried again in %.0f s",
                    self.name,
                    self._number,
                    error,
                    pause,
                    exc_info=not expected,
                )
                self._stopping.wait(pause)
                pause = min(2 * pause, longest)
            else:
                pause = RETRY_SECONDS[0]
                self._woken.wait(HORIZON_SECONDS if self._horizon.is_waiting else SWEEP_SECONDS)
        self._sink.close()

    def wake(self) -> None:
        """There may be events."""
        self._woken.set()

    def stop(self) -> None:
        """Have `run` end."""
        self._stopping.set()
        self._woken.set()

    def _deliver(self) -> None:
        while not self._stopping.is_set():
            with self._database.read() as connection:
                if self._number < 0:
                    self._number = deliveries.position(connection, self.name)
                upto = self._horizon.look(connection)
                events = outbox.after(connection, self._number, upto, limit=BATCH)
            if not events:
                return
            self._hand_over(events)

    def _hand_over(self, events: list[Event]) -> None:
        """Deliver in order; whatever happens, the cursor is behind the last one that arrived."""
        arrived = None
        try:
            for event in events:
                if self._stopping.is_set():
                    return
                self._sink.deliver(event)
                arrived = event.number
        finally:
            if arrived is not None:
                with self._database.begin() as connection:
                    deliveries.advance(connection, self.name, arrived)
                self._number = arrived
