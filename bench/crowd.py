"""Many clients at once: each a thread with a connection of its own that asks again as soon as it is answered."""

import threading
import time
from collections.abc import Callable

import msgspec

from bench.client import Client

CLIENTS = 64


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """How long the requests of all clients took."""

    walls: list[float]
    """Seconds of each."""
    seconds: float
    """From the first request to the last answer."""


def at_once(client: Client, each: int, call: Callable[[Client], object]) -> Took:
    """So many calls by each of `CLIENTS` clients like this one, whose connections are open before. None is tried again.

    Raises `ExceptionGroup` where a call failed.
    """
    spans: list[tuple[float, float]] = []
    failures: list[Exception] = []
    ready = threading.Barrier(CLIENTS)

    def open_connection(own: Client) -> None:
        try:
            own.get_bytes("/volumes?limit=1")
        except Exception:
            ready.abort()
            raise
        ready.wait()

    def work() -> None:
        own = client.another()
        try:
            open_connection(own)
            for _ in range(each):
                began = time.perf_counter()
                call(own)
                spans.append((began, time.perf_counter()))
        except threading.BrokenBarrierError:  # another client has told why
            pass
        except Exception as failure:  # raised again in the thread that waits
            failures.append(failure)
        finally:
            own.close()

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise ExceptionGroup("clients failed", failures)
    began, ended = zip(*spans, strict=True)
    return Took(walls=[end - begin for begin, end in spans], seconds=max(ended) - min(began))
