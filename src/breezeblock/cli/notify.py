"""What systemd is told (sd_notify(3)): datagrams to the socket that $NOTIFY_SOCKET names; without it, nothing."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

READY = "READY=1"
ALIVE = "WATCHDOG=1"
STOPPING = "STOPPING=1"


class Notifier:
    """Tells systemd how this process does."""

    def __init__(self, address: str | None, watchdog_microseconds: int = 0) -> None:
        # a name that begins with @ is an abstract one
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.interval = watchdog_microseconds / 2e6
        """Seconds between two signs of life, half of what systemd waits; 0 where it does not."""

    def tell(self, state: str) -> None:
        """Send a state. Nobody there to hear it is no reason to fail."""
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
            sender.sendto(state.encode(), self._address)

    def keep_telling(self) -> None:
        """Tell from now on that the main thread still handles its signals, by SIGALRM."""
        if self.interval:
            signal.signal(signal.SIGALRM, lambda *_: self.tell(ALIVE))
            signal.setitimer(signal.ITIMER_REAL, self.interval, self.interval)

    def end(self, seconds: float, call: Callable[[], None]) -> None:
        """Tell that the process ends; `call()` when it has not after so long."""
        self.tell(STOPPING)
        deadline = time.monotonic() + seconds

        def alarm(*_: Any) -> None:
            if time.monotonic() >= deadline:  # it may be a late sign of life
                call()

        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)

    @property
    def for_child(self) -> dict[str, str]:
        """What a child needs in its environment to tell systemd in this process's place."""
        return {} if self._address is None else {"NOTIFY_SOCKET": self._address.replace("\0", "@", 1)}


def from_environment() -> Notifier:
    """The notifier that systemd asked for. Takes the variables away: they are not for children (nor for gunicorn)."""
    address = os.environ.pop("NOTIFY_SOCKET", None)
    microseconds = int(os.environ.pop("WATCHDOG_USEC", "0"))
    wanted = os.environ.pop("WATCHDOG_PID", None)
    if wanted is not None and int(wanted) != os.getpid():
        microseconds = 0
    return Notifier(address, microseconds)
