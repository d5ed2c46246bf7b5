"""A verb that copies for long tells how far it is, to who called it in this thread, and stops where that one raises.

So a copy inside a storage shows its progress, and is cancelled or left like any other, and no verb needs one more
argument for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int | None], None]
"""Called with the bytes that are done and, where it is known, their total."""

_listener: ContextVar[Listener | None] = ContextVar("_listener", default=None)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """In the block, `tell` calls this listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(done: int, total: int | None) -> None:
    """To be called after each piece, several times a second. Raises what the listener raises: then undo and let it pass."""
    listener = _listener.get()
    if listener is not None:
        listener(done, total)
