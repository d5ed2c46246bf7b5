"""Time as the API shows it and the database keeps it: ISO 8601 text in UTC without a zone, in microseconds.

Such text sorts as time does, so it is compared and indexed as it is, and a list needs no conversion of its rows.
"""

from datetime import UTC, datetime, timedelta

FORMAT = "%Y-%m-%dT%H:%M:%S.%f"


def now() -> str:
    """This moment, like `2026-01-31T12:00:00.000000`."""
    return datetime.now(UTC).strftime(FORMAT)


def after(seconds: float) -> str:
    """The moment so many seconds from now; negative is before."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime(FORMAT)


def seconds_since(then: str) -> float:
    """How many seconds ago `then` (as `now` gives it) was."""
    return (datetime.now(UTC).replace(tzinfo=None) - datetime.strptime(then, FORMAT)).total_seconds()
