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
from breezeblock.errors import BreezeblockError, Cancelled, DatabaseUnavailable, DeadlinePassed
from breezeblock.flows.backend import Backend
from breezeblock.model import clock, flows
from breezeblock.model.operation import Answer

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
PROGRESS_SECONDS = 0.5

Result = TypeVar("Result")


class WorkerStopping(BaseException):
    """The worker ends; the flow stops where it is and is taken up by the next owner. Not an Exception: nothing is undone."""


class Flow:
    """One run of a flow: its arguments, its durable steps, and what it tells the world while it runs."""

    def __init__(self, backend: Backend, request: FlowRequest, stopping: threading.Event) -> None:
        self.id = request.id
        self.backend = backend
        self.arguments = request.arguments
        self.attempts = request.attempts
        self.context = msgspec.convert(request.context, RequestContext)
        self.ended = False
        self.handed_over = False
        self._stopping = stopping
        self._deadline: str | None = request.arguments.get("deadline")
        self._started_at = clock.now()
        self._checkpoints: dict[str, Any] = {}
        self._answers: list[Answer] = []
        self._told = 0.0
        self._told_bytes = 0
        self._load()

    def _load(self) -> None:
        with self.backend.database.read() as connection:
            operation = operations.get(connection, self.id)
            self._answers = list(operation.answers) if operation else []
            if self.attempts:
                self._checkpoints = operations.checkpoints(connection, self.id)

    @property
    def driver(self) -> Any:
        """The backend's driver."""
        return self.backend.driver

    def step(self, name: str, call: Callable[..., Result], *arguments: Any, kind: Any = None) -> Result:
        """Run `call(*arguments)` once, even across crashes: its answer is kept and given again when the flow is taken up.

        The call itself may run twice (a crash can come between act and note), so it must be fit for that. `kind` is the
        type to convert a kept answer back to; without it the answer must be plain JSON.
        """
        if name in self._checkpoints:
            kept = self._checkpoints[name]
            return msgspec.convert(kept, kind) if kind is not None else kept  # type: ignore[no-any-return]
        result = call(*arguments)
        self.checkpoint(name, result)
        return result

    def checkpoint(self, name: str, result: Any = None) -> None:
        """Note durably that a step is behind the flow."""
        plain = msgspec.to_builtins(result)
        with self.saving(step=name) as connection:
            operations.write_checkpoint(connection, self.id, name, plain)
        self._checkpoints[name] = plain

    def passed(self, name: str) -> bool:
        """Whether a durable step is already behind the flow."""
        return name in self._checkpoints

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
            operations.update(
                connection, self.id, state="running", started_at=self._started_at, answers=self._answers, **values
            )
            yield connection

    @contextmanager
    def ending(self, state: str = "succeeded", message: str | None = None) -> Iterator[Connection]:
        """The flow's last transaction: what it changes and the end of the flow commit together."""
        with self.backend.database.begin() as connection:
            yield connection
            if state != "succeeded":
                outbox.end_open(connection, self.id, "error", error=message)
            operations.finish(
                connection,
                self.id,
                state,
                had_checkpoints=bool(self._checkpoints),
                message=message,
                answers=self._answers,
                started_at=self._started_at,
                attempts=self.attempts + 1,
            )
        self.ended = True

    def progress(self, done: int, total: int | None) -> None:
        """Tell how many bytes are done, at most twice a second, and notice a cancel. Call it often.

        Raises:
            Cancelled: somebody asked the operation to stop.
            DeadlinePassed: it took longer than it may.
            WorkerStopping: this worker ends.
        """
        if self._stopping.is_set():
            raise WorkerStopping
        self.check_deadline()
        passed = time.monotonic() - self._told
        if passed < PROGRESS_SECONDS and done != total:
            return
        rate = max(0.0, (done - self._told_bytes) / passed) if self._told else None
        self._told, self._told_bytes = time.monotonic(), done
        with self.backend.database.read() as connection:
            if operations.cancel_requested(connection, self.id):
                raise Cancelled("The operation was cancelled by its user.")
        with self.backend.database.begin() as connection:
            operations.update(connection, self.id, state="running", bytes_done=done, bytes_total=total, rate=rate)

    def check_deadline(self) -> None:
        """Raises `DeadlinePassed` when the time for this flow is over (its argument `deadline`, as `clock` tells time)."""
        if self._deadline is not None and clock.now() > self._deadline:
            raise DeadlinePassed

    def hand_over(self, connection: Connection, slot: str, arguments: dict[str, Any]) -> None:
        """Let `slot` run this flow from its beginning, with other arguments; this run is over when that commits."""
        operations.hand_over(connection, self.id, slot, arguments, self._answers)
        self.ended = self.handed_over = True


FlowFunction = Callable[[Flow], None]


class FlowKind(msgspec.Struct, frozen=True):
    """A registered flow: the story, and what ends it when the story itself broke (`abandon(flow, error)`)."""

    run: FlowFunction
    abandon: Callable[[Flow, BaseException], None]


_KINDS: dict[tuple[str, int], FlowKind] = {}


def flow(
    name: str, *, abandon: Callable[[Flow, BaseException], None], version: int = 1
) -> Callable[[FlowFunction], FlowFunction]:
    """Register a function as the flow `name` in one of its versions (`model.flows`).

    `abandon` undoes and puts the resource in an error state; run when the function raised, or when it was taken up too
    often. Raises `LookupError` for a flow that `model.flows` does not have.
    """
    if not flows.is_known(name, version):
        raise LookupError(f"model.flows has no version {version} of a flow {name}.")

    def register(function: FlowFunction) -> FlowFunction:
        _KINDS[name, version] = FlowKind(function, abandon)
        return function

    return register


class TooManyAttempts(BreezeblockError):
    """The operation was interrupted too often and has been given up."""


class Engine:
    """Runs the flows of one slot. The caller owns the slot: there is never a second engine for it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._alarm = open_alarm(backend.database, backend.slot)
        self._stopping = threading.Event()
        self._live: set[str] = set()
        self._left: set[str] = set()
        """Flows that this engine left in their midst, to be run again."""
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(backend.settings.flow_threads, thread_name_prefix=backend.own.name)

    def run(self) -> None:
        """Take up what the last owner left, then run what comes, until `stop`."""
        self._until_it_works(self._take_up)
        while not self._stopping.is_set():
            self._until_it_works(self._dispatch)
            self._alarm.wait(SWEEP_SECONDS)
        self._threads.shutdown(wait=True, cancel_futures=True)
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
        with self._backend.database.begin() as connection:
            operations.count_attempt(connection, self._backend.slot)

    def _dispatch(self) -> None:
        with self._backend.database.read() as connection:
            requests = operations.pending(connection, self._backend.slot)
        for request in requests:
            with self._lock:
                if request.id in self._live:
                    continue
                self._live.add(request.id)
            self._threads.submit(self._run, request)

    def _run(self, request: FlowRequest) -> None:
        handed_over = False
        if request.id in self._left:  # it has done something, though no owner was counted since
            self._left.discard(request.id)
            request = msgspec.structs.replace(request, attempts=max(1, request.attempts))
        try:
            if not self._stopping.is_set():
                handed_over = self._run_flow(request)
        except WorkerStopping:
            log.info("flow %s %s is left for the next owner", request.flow, request.id)
        except DatabaseUnavailable as error:
            log.warning("flow %s %s waits for the database: %s", request.flow, request.id, error)
            self._left.add(request.id)
        except Exception:
            log.exception("flow %s %s broke and could not be undone; it is tried again", request.flow, request.id)
            self._left.add(request.id)
            self._count_failure(request)
        finally:
            with self._lock:
                self._live.discard(request.id)
            if handed_over:
                self._alarm.ring()  # perhaps to this very slot, whose wake came while the flow was still live

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
            with killpoints.within(request.flow, anew=True):
                kind.run(flow)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if not isinstance(error, BreezeblockError):
                log.exception("flow %s %s failed", request.flow, request.id)
            self._undo(flow, kind, request, error)
        else:
            if not flow.ended:
                with flow.ending() as connection:  # what it was about is gone already
                    outbox.end_open(connection, flow.id, "end")
        return flow.handed_over

    def _undo(self, flow: Flow, kind: FlowKind, request: FlowRequest, error: Exception) -> None:
        """End a flow that failed. One that cannot even be undone is tried again, and given up after too many attempts."""
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
            operations.count_failure(connection, request.id)

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
