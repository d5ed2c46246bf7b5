"""The durable engine: runs the flows that `flow_requests` asks for, and takes up those that a crash left unfinished.

A request is a row written in the transaction of the change it belongs to. The slot's owner is woken, runs the flow in a
thread, and the flow's last transaction removes the row. So a flow that is not finished is always there to be found: at
the start, and by a sweep every few seconds. A durable step keeps its answer in `flow_checkpoints`; a flow that is taken
up again gets the answer and does not repeat the step. Why not an engine off the shelf: docs/decisions/engine.md.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from sqlalchemy.engine import Connection

from breezeblock import killpoints
from breezeblock.context import RequestContext
from breezeblock.db import moves, operations, outbox
from breezeblock.db.operations import FlowRequest
from breezeblock.db.wake import open_alarm
from breezeblock.drivers import copying
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import BreezeblockError, Cancelled, DatabaseUnavailable, DeadlinePassed
from breezeblock.flows import user_messages
from breezeblock.flows.backend import Backend
from breezeblock.flows.pace import PacedTarget
from breezeblock.model import clock, flows
from breezeblock.model.operation import Answer

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
PROGRESS_SECONDS = 0.5
SMOOTHING = 0.3
"""How much the newest measurement counts in the rate that is told."""

Result = TypeVar("Result")


class WorkerStopping(BaseException):
    """The worker ends; the flow stops where it is and is taken up by the next owner. Not an Exception: nothing is undone."""


class HeldBack(BaseException):
    """The backend changes its place; the flow stops where it is and is run again when that is over. Nothing is undone."""


class Parked(BaseException):
    """The flow waits and gives its thread back; it is run again when what it waits for has come. Nothing is undone."""


class Flow:
    """One run of a flow: its arguments, its durable steps, and what it tells the world while it runs."""

    def __init__(self, backend: Backend, request: FlowRequest, stopping: threading.Event) -> None:
        self.id = request.id
        self.backend = backend
        self.arguments = request.arguments
        self.attempts = request.attempts
        self.context = msgspec.convert(request.context, RequestContext)
        self.ended = False
        self.failure: BaseException | None = None
        """What it is being undone for."""
        self.handed_over = False
        self.resumed = request.attempts > 0
        """Whether a part of it was run before: by an owner that died, or until it had to wait."""
        self.waited_for: str | None = None
        """The operation that it has waited for."""
        self._stopping = stopping
        self._deadline: str | None = request.arguments.get("deadline")
        self._started_at = clock.now()
        self._checkpoints: dict[str, Any] = {}
        self._unwritten: dict[str, Any] = {}
        self._answers: list[Answer] = []
        self._looked = 0.0
        self._told = 0.0
        self._told_bytes = 0
        self._rate: float | None = None
        self._stalled = False
        self._load()

    def _load(self) -> None:
        with self.backend.database.read() as connection:
            self._operation = operation = operations.get(connection, self.id)
            if operation is not None:
                self._answers = list(operation.answers)
                self._stalled = operation.state == "stalled"
                self.waited_for = operation.waits_for
                self.resumed = self.resumed or operation.started_at is not None
                self._started_at = operation.started_at or self._started_at
            if self.resumed:
                self._checkpoints = operations.checkpoints(connection, self.id)
        if operation is not None and operation.waiting is not None:
            self._tell_wait()
            with self.saving():  # an interruption counts from here on
                pass

    def _tell_wait(self) -> None:
        """The wait is over: its answer, which was the last one, tells how long it took."""
        wait = self._answers[-1]
        seconds = round(clock.seconds_since(wait.started_at), 6)
        self._answers[-1] = msgspec.structs.replace(wait, outcome="waited", seconds=seconds)

    @property
    def driver(self) -> Any:
        """The backend's driver."""
        return self.backend.driver

    def step(self, name: str, call: Callable[..., Result], *arguments: Any) -> Result:
        """Run `call(*arguments)` once, even across crashes: its answer, plain JSON, is kept and given again when the flow is
        taken up. The call itself may run twice (a crash can come between act and note), so it must be fit for that.
        """
        if self.passed(name):
            return self.result(name)  # type: ignore[no-any-return]
        result = call(*arguments)
        self.checkpoint(name, result)
        return result

    def checkpoint(self, name: str, result: Any = None) -> None:
        """Note durably that a step is behind the flow."""
        self.note(name, result)
        with self.saving(step=name):
            pass

    def note(self, name: str, result: Any = None) -> None:
        """Note a step that costs little to be done again: it is written with the flow's next transaction."""
        self._checkpoints[name] = self._unwritten[name] = msgspec.to_builtins(result)

    def passed(self, name: str) -> bool:
        """Whether a durable step is already behind the flow."""
        return name in self._checkpoints

    def result(self, name: str) -> Any:
        """What was noted with a step that is behind the flow, as plain JSON."""
        return self._checkpoints[name]

    def hold(self, connection: Connection, name: str) -> None:
        """Note a durable step in this transaction, for other flows to see while this one is not over."""
        self._checkpoints[name] = None
        operations.write_checkpoint(connection, self.id, name, None)

    def held(self, beginning: str) -> list[str]:
        """The steps behind the flow whose names begin so."""
        return [name for name in self._checkpoints if name.startswith(beginning)]

    def let_go(self, connection: Connection, name: str) -> None:
        """Forget a durable step in this transaction."""
        del self._checkpoints[name]
        operations.drop_checkpoint(connection, self.id, name)

    def answer(self, answer: Answer) -> None:
        """Add to what `explain` tells; saved with the next durable step or the end."""
        self._answers.append(answer)

    @contextmanager
    def explained(self, step: str, **given: Any) -> Iterator[dict[str, Any]]:
        """Tell a step: the block fills in the result; an error is told as failed and goes on."""
        result: dict[str, Any] = {}
        began, at = time.monotonic(), clock.now()

        def tell(outcome: str, reason: str = "") -> None:
            self.answer(
                Answer(
                    step=step,
                    outcome=outcome,
                    reason=reason,
                    started_at=at,
                    seconds=round(time.monotonic() - began, 6),
                    given=given,
                    result=result,
                )
            )

        try:
            yield result
        except Exception as error:
            tell("failed", str(error))
            raise
        tell(result.pop("outcome", "done"), result.pop("reason", ""))

    @contextmanager
    def saving(self, **values: Any) -> Iterator[Connection]:
        """A transaction in the midst of the flow; the operation's answers and state are saved with it."""
        with self.backend.database.begin() as connection:
            going_on = {"state": "running", "started_at": self._started_at, "waiting": None, "waits_for": None}
            operations.update(connection, self.id, answers=self._answers, **going_on | values)
            self._write_notes(connection)
            yield connection

    def _write_notes(self, connection: Connection) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        for name, result in unwritten.items():
            operations.write_checkpoint(connection, self.id, name, result)

    @contextmanager
    def ending(self, state: str = "succeeded", message: str | None = None) -> Iterator[Connection]:
        """The flow's last transaction: what it changes and the end of the flow commit together."""
        with self.backend.database.begin() as connection:
            yield connection
            if state != "succeeded":
                outbox.end_open(connection, self.id, "error", error=message)
            if state == "failed" and self.failure is not None and self._operation is not None:
                user_messages.tell(connection, self.backend.settings, self._operation, self.failure)
            operations.finish(
                connection,
                self.id,
                state,
                had_checkpoints=self._checkpoints.keys() > self._unwritten.keys(),
                message=message,
                answers=self._answers,
                started_at=self._started_at,
                attempts=self.attempts + 1,
            )
            if self.arguments.get("awaited"):
                operations.wake_waiting(connection, self.id)
        self.ended = True

    def progress(self, done: int, total: int | None) -> None:
        """Tell how many bytes are done, at most twice a second, and notice a cancel. Call it often.

        Raises what `look` raises.
        """
        self.look()
        passed = time.monotonic() - self._told
        if passed < PROGRESS_SECONDS and (done != total or done == self._told_bytes):
            return
        if self._told:
            measured = max(0.0, (done - self._told_bytes) / passed)
            self._rate = measured if self._rate is None else self._rate + SMOOTHING * (measured - self._rate)
        self._told, self._told_bytes = time.monotonic(), done
        changed: dict[str, Any] = {"state": "running", "bytes_done": done, "bytes_total": total, "rate": self._rate}
        if self._stalled:
            changed["message"] = None
        with self.backend.database.begin() as connection:
            operations.update(connection, self.id, **changed, waiting=None, waits_for=None)
        self._stalled = False

    def look(self) -> None:
        """Notice a cancel (twice a second), and what else ends a long step. Call it often.

        Raises:
            Cancelled: somebody asked the operation to stop.
            DeadlinePassed: it took longer than it may.
            WorkerStopping: this worker ends.
            HeldBack: the backend changes its place.
        """
        if self._stopping.is_set():
            raise WorkerStopping
        if self.backend.gate.is_closed_for(self.id):
            raise HeldBack
        self.check_deadline()
        if time.monotonic() - self._looked < PROGRESS_SECONDS:
            return
        self._looked = time.monotonic()
        with self.backend.database.read() as connection:
            self._check_cancel(connection)

    def _check_cancel(self, connection: Connection) -> None:
        if operations.cancel_requested(connection, self.id):
            raise Cancelled("The operation was cancelled by its user.")

    def stalled(self, reason: str) -> None:
        """Tell that the flow cannot go on for now, and why; it tries again by itself, and the next progress tells so."""
        with self.backend.database.begin() as connection:
            operations.update(connection, self.id, state="stalled", message=reason, rate=None)
        self._told, self._stalled = 0.0, True

    def pause(self, seconds: float) -> None:
        """Wait. Raises `WorkerStopping` when this worker ends."""
        if self._stopping.wait(seconds):
            raise WorkerStopping

    def check_deadline(self) -> None:
        """Raises `DeadlinePassed` when the time for this flow is over (its argument `deadline`, as `clock` tells time)."""
        if self._deadline is not None and clock.now() > self._deadline:
            raise DeadlinePassed

    def park(self, connection: Connection, step: str, reason: str, operation_id: str | None = None) -> None:
        """Note that the flow waits, for the end of an operation where one is named. Raise `Parked` when that is committed:
        the flow is run again from its beginning, past its durable steps.

        Raises `Cancelled` or `DeadlinePassed` where it shall not wait any more.
        """
        self.check_deadline()
        self._check_cancel(connection)
        self.answer(Answer(step="wait", outcome="waits", reason=reason, started_at=clock.now()))
        waiting = {"state": "running", "step": step, "waiting": reason, "waits_for": operation_id}
        operations.update(connection, self.id, started_at=self._started_at, answers=self._answers, **waiting)
        self._write_notes(connection)

    @contextmanager
    def waiting(self, reason: str) -> Iterator[None]:
        """Tell that the flow waits, in the block, holding its thread."""
        self.answer(Answer(step="wait", outcome="waits", reason=reason, started_at=clock.now()))
        with self.backend.database.begin() as connection:
            operations.update(connection, self.id, waiting=reason, answers=self._answers)
        try:
            yield
        finally:
            self._tell_wait()
        with self.saving():
            pass

    def take_copy_turn(self, project_id: str) -> None:
        """Copy from here on, to the end of this run, among the copies of the project; raises `Parked` while others do."""
        turns = self.backend.copies
        if turns.take(project_id, self.id):
            return
        with self.backend.database.begin() as connection:
            self.park(
                connection, "copy", f"waits for its turn: at most {turns.limit} copies at once (max_parallel_copies)"
            )
        raise Parked

    def paced(self, target: BlockTarget) -> BlockTarget:
        """The same target, written no faster than the copies of this backend may be."""
        return target if self.backend.pace is None else PacedTarget(target, self.pace)

    def pace(self, size: int) -> None:
        """Wait until `size` bytes more may be copied. Raises what `look` raises."""
        if self.backend.pace is not None:
            self.backend.pace.wait(self.id, size, self.look)

    def hand_over(self, connection: Connection, resource: operations.Resource, arguments: dict[str, Any]) -> None:
        """Let the slot that `resource` lies in now run this flow from its beginning, with other arguments; this run is over
        when that commits."""
        operations.hand_over(connection, self.id, resource, arguments, self._answers)
        self.ended = self.handed_over = True


FlowFunction = Callable[[Flow], None]


class FlowKind(msgspec.Struct, frozen=True):
    """A registered flow: the story, and what ends it when the story itself broke (`abandon(flow, error)`).

    One that runs `beside` the others may take days, so it has a thread of its own and is none of `flow_threads`.
    """

    run: FlowFunction
    abandon: Callable[[Flow, BaseException], None]
    beside: bool = False


_KINDS: dict[tuple[str, int], FlowKind] = {}


def flow(
    name: str, *, abandon: Callable[[Flow, BaseException], None], version: int = 1, beside: bool = False
) -> Callable[[FlowFunction], FlowFunction]:
    """Register a function as the flow `name` in one of its versions (`model.flows`).

    `abandon` undoes and puts the resource in an error state; run when the function raised, or when it was taken up too
    often. Raises `LookupError` for a flow that `model.flows` does not have.
    """
    if not flows.is_known(name, version):
        raise LookupError(f"model.flows has no version {version} of a flow {name}.")

    def register(function: FlowFunction) -> FlowFunction:
        _KINDS[name, version] = FlowKind(function, abandon, beside)
        return function

    return register


def _is_beside(request: FlowRequest) -> bool:
    kind = _KINDS.get((request.flow, request.version))
    return kind is not None and kind.beside


class TooManyAttempts(BreezeblockError):
    """The operation was interrupted too often and has been given up."""


class Engine:
    """Runs the flows of one slot. The caller owns the slot: there is never a second engine for it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._alarm = open_alarm(backend.database, backend.slot)
        self._stopping = threading.Event()
        self._live: set[str] = set()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(backend.settings.flow_threads, thread_name_prefix=backend.own.name)
        self._beside: list[threading.Thread] = []

    def run(self) -> None:
        """Take up what the last owner left, then run what comes, until `stop`."""
        self._until_it_works(self._take_up)
        while not self._stopping.is_set():
            self._until_it_works(self._dispatch)
            self._alarm.wait(SWEEP_SECONDS)
        self._threads.shutdown(wait=True, cancel_futures=True)
        for thread in self._beside:
            thread.join()
        self._alarm.close()

    def stop(self) -> None:
        """End `run`: short steps finish, long ones stop at their next progress report and are resumed by the next owner."""
        self._stopping.set()
        self._alarm.ring()

    def _until_it_works(self, call: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                return call()
            except DatabaseUnavailable as error:
                log.warning("slot %s waits for the database: %s", self._backend.slot, error)
                self._stopping.wait(1.0)

    def _take_up(self) -> None:
        """Count an interruption of each flow that the last owner may have been running: the oldest that were not parked, as
        many as it had threads, and those beside them."""
        with killpoints.within("take_up", anew=True), self._backend.database.begin() as connection:
            left = operations.pending(connection, self._backend.slot)
            if not left:
                return
            parked = operations.parked(connection, self._backend.slot)
            begun = [one for one in left if one.id not in parked]
            beside = [one.id for one in begun if _is_beside(one)]
            threaded = [one.id for one in begun if not _is_beside(one)]
            operations.count_attempt(connection, *beside, *threaded[: self._backend.settings.flow_threads])

    def _dispatch(self) -> None:
        with self._backend.database.read() as connection:
            requests = operations.pending(connection, self._backend.slot)
            waits = operations.waits(connection, self._backend.slot)
        for request in requests:
            if self._has_to_wait(request, waits) or self._backend.gate.is_closed_for(request.id):
                continue
            with self._lock:
                if request.id in self._live:
                    continue
                self._live.add(request.id)
            self._submit(request)

    def _submit(self, request: FlowRequest) -> None:
        if not _is_beside(request):
            self._threads.submit(self._run, request)
            return
        thread = threading.Thread(target=self._run, args=(request,), name=f"{self._backend.own.name} {request.flow}")
        self._beside = [*filter(threading.Thread.is_alive, self._beside), thread]
        thread.start()

    def _has_to_wait(self, request: FlowRequest, waits: operations.Waits) -> bool:
        """Whether what a flow waits for has still to come. One that shall end is run, to find that out."""
        if request.id not in waits.waiting and not self._backend.copies.is_waiting(request.id):
            return False
        deadline = request.arguments.get("deadline")
        return request.id not in waits.cancelled and (deadline is None or clock.now() <= deadline)

    def _run(self, request: FlowRequest) -> None:
        again, over = False, True
        try:
            with self._backend.gate.passing(request.id) as may:
                if may and not self._stopping.is_set():
                    again = self._run_flow(request)
        except HeldBack:
            log.info("flow %s %s waits: its backend changes its place", request.flow, request.id)
            self._count_failure(request)  # an interruption, after which it goes on from its durable steps
        except Parked:
            again, over = True, False
        except WorkerStopping:
            log.info("flow %s %s is left for the next owner", request.flow, request.id)
        except DatabaseUnavailable as error:
            log.warning("flow %s %s waits for the database: %s", request.flow, request.id, error)
        except Exception:
            log.exception("flow %s %s broke and could not be undone; it is tried again", request.flow, request.id)
            self._count_failure(request)
        finally:
            if over:
                again = self._give_back(request.id) or again
            with self._lock:
                self._live.discard(request.id)
            if again:
                self._alarm.ring()  # it was handed over or parked, and its wake came perhaps while it was still live

    def _give_back(self, flow_id: str) -> bool:
        """A run is over, and with it the flow's turn to copy; whether another flow has it now."""
        if self._backend.pace is not None:
            self._backend.pace.leave(flow_id)
        return self._backend.copies.give_back(flow_id)

    def _run_flow(self, request: FlowRequest) -> bool:
        """Run a flow to its end; whether it was handed over."""
        kind = _KINDS.get((request.flow, request.version))
        if kind is None:
            log.error(
                "flow %s version %d is unknown to this release; it waits for one that knows it",
                request.flow,
                request.version,
            )
            return False
        if not self._still_there(request):
            return False
        flow = Flow(self._backend, request, self._stopping)
        try:
            if request.attempts > self._backend.settings.max_flow_attempts:
                raise TooManyAttempts
            with killpoints.within(request.flow, anew=True), copying.told_to(flow.progress):
                kind.run(flow)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if not isinstance(error, BreezeblockError):
                log.exception("flow %s %s failed", request.flow, request.id)
            self._undo(flow, kind, request, error)
        else:
            if not flow.ended:
                # what it was about is gone already
                with killpoints.within(request.flow, anew=True), flow.ending() as connection:
                    outbox.end_open(connection, flow.id, "end")
        return flow.handed_over

    def _undo(self, flow: Flow, kind: FlowKind, request: FlowRequest, error: Exception) -> None:
        """End a flow that failed. One that cannot even be undone is tried again, and given up after too many attempts."""
        flow.failure = error
        try:
            with killpoints.within(f"{request.flow}.undo", anew=True):
                kind.abandon(flow, error)
        except DatabaseUnavailable:
            raise
        except Exception:
            if request.attempts <= self._backend.settings.max_flow_attempts:
                raise
            log.exception("flow %s %s is given up; it could not be undone", request.flow, request.id)
            message = (
                f"{message_for_user(error)} What was begun could not be undone; an administrator has to look at it."
            )
            with flow.ending("failed", message) as connection:
                operation = operations.get(connection, flow.id)
                if operation is not None:
                    moves.strand(connection, operation.resource_type, operation.resource_id)
        if not flow.ended:
            with flow.ending(state_after(error), message_for_user(error)):
                pass

    def _count_failure(self, request: FlowRequest) -> None:
        with contextlib.suppress(DatabaseUnavailable), self._backend.database.begin() as connection:
            operations.count_attempt(connection, request.id)

    def _still_there(self, request: FlowRequest) -> bool:
        """A request read before its flow ended may be handed out once more; the row tells."""
        with self._backend.database.read() as connection:
            return operations.is_pending(connection, request.id)


def state_after(error: BaseException) -> str:
    """The state of an operation that this error ended."""
    return "cancelled" if isinstance(error, Cancelled) else "failed"


def message_for_user(error: BaseException) -> str:
    """What a user may read of an error: our own messages, and for anything else that it was our fault."""
    if isinstance(error, BreezeblockError):
        return error.message
    return f"An unexpected error ({type(error).__name__}) ended the operation; the service's log has the details."
