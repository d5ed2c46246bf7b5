"""How far a transfer is, told at most twice a second."""

import time
from collections.abc import Callable

Report = Callable[[int, int | None], None]
"""`report(bytes_done, bytes_total)`, at most twice a second and at the end; may raise `Cancelled`."""

_REPORT_SECONDS = 0.5


class Meter:
    """Hands on how many of `total` bytes are done."""

    def __init__(self, report: Report, total: int | None) -> None:
        self._report = report
        self._total = total
        self._done = 0
        self._told_at = 0.0

    def reached(self, done: int) -> None:
        """So many bytes are done; `report` is called unless that was just done."""
        self._done = done
        now = time.monotonic()
        if now - self._told_at >= _REPORT_SECONDS:
            self._told_at = now
            self._report(done, self._total)

    def finish(self) -> None:
        """Report the last figure."""
        self._report(self._done, self._total)
