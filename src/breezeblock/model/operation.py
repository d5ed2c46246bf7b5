"""An operation: one run of a flow, told so that a person understands it."""

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one step, rung or pool answered.

    `outcome` is made, declined, done, failed, fits or refused; of a wait it is waits or waited.
    """

    step: str
    outcome: str
    reason: str = ""
    started_at: str = ""
    seconds: float = 0.0
    given: dict[str, Any] = {}
    """What went in, fit to be shown: no secrets."""
    result: dict[str, Any] = {}
    """What came out, fit to be shown."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `operations`. Bytes are bytes, `rate` is bytes a second."""

    id: str
    kind: str
    """The flow's name, such as `create_volume`."""
    resource_type: str
    resource_id: str
    project_id: str
    user_id: str
    request_id: str
    state: str = "queued"
    """queued, running, stalled (it goes on by itself), succeeded, failed or cancelled."""
    step: str | None = None
    """The step or rung it is in."""
    waiting: str | None = None
    """What it waits for, for a person."""
    waits_for: str | None = None
    """The operation that it waits for; how far that one is is shown in its place."""
    bytes_done: int = 0
    bytes_total: int | None = None
    rate: float | None = None
    answers: list[Answer] = []
    message: str | None = None
    """Why it failed or does not go on, for its user."""
    cancel_requested: bool = False
    attempts: int = 0
    """How often a worker began or took up the flow."""
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
