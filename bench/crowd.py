"""Many clients at once: each a thread with a connection of its own that asks again as soon as it is answered."""

import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from bench.client import Client

CLIENTS = 64


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """How long the requests of all clients took."""

    walls: list[float]
    """Seconds of each."""
    seconds: float
    """From the first request to the last answer."""


def together(client: Client, works: Sequence[Callable[[Client], None]]) -> None:
    """Do all works at once, each with a connection of its own. Raises `ExceptionGroup` where some failed."""
    failures: list[Exception] = []

    def do(work: Callable[[Client], None]) -> None:
        own = client.another()
        try:
            work(own)
        except Exception as failure:  # raised again in the thread that waits
            failures.append(failure)
        finally:
            own.close()

    threads = [threading.Thread(target=do, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise ExceptionGroup("clients failed", failures)


def at_once(client: Client, each: int, call: Callable[[Client], object]) -> Took:
    """So many calls by each of `CLIENTS` clients like this one, whose connections are open before. None is tried again.

    Raises `ExceptionGroup` where a call failed.
    """
    spans: list[tuple[float, float]] = []
    ready = threading.Barrier(CLIENTS)

    def work(own: Client) -> None:
        try:
            own.get_bytes("/volumes?limit=1")
        except Exception:
            ready.abort()
            raise
        ready.wait()
        for _ in range(each):
            began = time.perf_counter()
            call(own)
            spans.append((began, time.perf_counter()))

    together(client, [work] * CLIENTS)
    began, ended = zip(*spans, strict=True)
    return Took(walls=[end - begin for begin, end in spans], seconds=max(ended) - min(began))
