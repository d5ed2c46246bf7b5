"""The process that calls librbd for one backend: `python -m breezeblock.drivers.rbd.child DESCRIPTOR`.

A call of librbd that hangs cannot be given up, so it hangs here, where all of it can be: the worker kills this process.
It ends with the worker in any case, and holds nothing that another one would need.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from breezeblock.drivers.rbd.library import Library, kind_of, text_of
from breezeblock.drivers.rbd.wire import Access, Answer, Call, Wire

THREADS = 64
TELL_SECONDS = 0.1
CANCELLED = -125
"""-ECANCELED, as librbd's progress callbacks take it."""


class Child:
    """Takes calls from the worker, each in a thread of its own."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._library: Library | None = None
        self._cancelled: set[int] = set()

    def serve(self) -> None:
        """Until the worker is gone."""
        threads = ThreadPoolExecutor(THREADS)
        while (received := self._wire.receive(Call)) is not None:
            call, data = received
            if call.verb == "cancel":
                self._cancelled.add(call.number)
            else:
                threads.submit(self._answer, call, data)

    def _answer(self, call: Call, data: bytes) -> None:
        try:
            value = self._do(call, data)
            if isinstance(value, bytes):
                self._wire.send(Answer(call.number, "done"), value)
            else:
                self._wire.send(Answer(call.number, "done", value))
        except BaseException as error:
            # whatever it is, the worker waits for it
            self._wire.send(msgspec.convert([call.number, kind_of(error), text_of(error)], Answer))
        finally:
            self._cancelled.discard(call.number)

    def _do(self, call: Call, data: bytes) -> object:
        if call.verb == "connect":
            self._library = Library(msgspec.convert(call.arguments[0], Access))
            return None
        if self._library is None:
            raise RuntimeError("not connected")
        method = getattr(self._library, call.verb)
        arguments = [*call.arguments, data] if data else call.arguments
        return (
            method(self._teller(call.number), *arguments) if call.verb in ("flatten", "remove") else method(*arguments)
        )

    def _teller(self, number: int) -> Callable[[int, int], int]:
        told = time.monotonic()

        def tell(done: int, total: int) -> int:
            nonlocal told
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                self._wire.send(Answer(number, "progress", [done, total]))
            return CANCELLED if number in self._cancelled else 0

        return tell


def main() -> None:
    """Serve the worker at the other end of the socket."""
    threading.current_thread().name = "rbd"
    Child(Wire(socket.socket(fileno=int(sys.argv[1])))).serve()
    os._exit(0)  # past librados, which waits for what hangs


if __name__ == "__main__":
    main()
