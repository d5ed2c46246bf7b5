"""What Keystone said of tokens, for a while: without it each call would ask Keystone."""

import time
from collections import OrderedDict
from threading import Lock

MOST_BYTES = 32 * 1024**2
"""What is kept at most; a token's answer has the whole catalog, some 2 to 50 KB."""


class TokenCache:
    """A memcached client as keystonemiddleware uses it, in this process: bounded, the longest unused goes first.

    Keys are digests: the tokens themselves are not kept. Safe to use from many threads.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = Lock()
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """What is kept under the key, while its time is not over."""
        with self._lock:
            ends_at, value = self._entries.get(key, (0.0, b""))
            if ends_at > time.monotonic():
                self._entries.move_to_end(key)
                return value
            self._drop(key)
            return None

    def set(self, key: str, value: bytes, time: float = 0) -> None:
        """Keep a value for `time` seconds; 0 or less: not at all."""
        with self._lock:
            self._drop(key)
            if time <= 0 or len(value) > self._most_bytes:
                return
            self._entries[key] = (_ends_at(time), value)
            self._bytes += len(value)
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        self._bytes -= len(self._entries.pop(key, (0.0, b""))[1])


def _ends_at(seconds: float) -> float:
    return time.monotonic() + seconds
