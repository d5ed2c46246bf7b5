"""Who did not answer is left in peace for a while: not everybody who needs something else waits for it, too."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from breezeblock.errors import BackendTransient
from breezeblock.exports.qmp import DaemonGone

FIRST_SECONDS = 5.0
MOST_SECONDS = 30.0


class Patience:
    """With one export daemon. After each silence it is asked again after twice the time."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._until = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask in the block. Raises `BackendTransient` at once while it is left in peace."""
        left = self._until - time.monotonic()
        if left > 0:
            raise BackendTransient(f"The export daemon did not answer; it is asked again in {left:.0f} s.")
        try:
            yield
        except DaemonGone:
            raise
        except BackendTransient:
            self._pause = min(max(2 * self._pause, FIRST_SECONDS), MOST_SECONDS)
            self._until = time.monotonic() + self._pause
            raise
        self.end()

    def end(self) -> None:
        """Ask at once the next time."""
        self._pause = self._until = 0.0
