"""An image on its way here: its bytes are fetched and hashed ahead, in threads of their own, while what came is worked on.

The first bytes may come before anybody knows where they belong: the header and the tables are judged meanwhile.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from breezeblock.errors import ImageUnacceptable
from breezeblock.images.checksum import Check, Checksum, HashState
from breezeblock.images.content import ImageContent

_PIECES = 16
_LOOK_SECONDS = 0.2
_FAREWELL_SECONDS = 1.0


class Arrival:
    """The bytes of an image from a position on, and their hash, from now on. A context manager: at its end the fetching
    stops.

    No more than sixteen pieces are held that nobody has asked for yet.
    """

    def __init__(
        self, content: ImageContent, checks: Sequence[Check], position: int = 0, hashes: Sequence[HashState] = ()
    ) -> None:
        """`hashes` are those of an earlier arrival, to go on from; they may reach beyond `position`."""
        self.checksum = Checksum(checks, hashes)
        self._position, self._size = position, content.size
        self._pieces = self.checksum.hashed(content.pieces(position), position)
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_PIECES)
        self._stopped = threading.Event()
        self._claimed = False
        self._thread = threading.Thread(target=self._fetch, name="arrival", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Arrival":
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()
        # one that waits for the network ends by that one's own time limit
        self._thread.join(_FAREWELL_SECONDS)
        self.checksum.close()

    def claim(self, position: int) -> bool:
        """Whether this is what somebody needs who begins at `position`: true once. If not, it is over."""
        if self._claimed or position != self._position:
            self._stop()
            return False
        self._claimed = True
        return True

    def pieces(self, reached: Callable[[int], None]) -> Iterator[bytes]:
        """All of them, once. `reached(bytes of the image that came)` is called for each of them, and a few times a second
        while the next one is not there; what it raises stops the waiting.

        Raises `ImageUnacceptable` where more or less comes than the image's size, and whatever the image service does.
        """
        end = self._position
        while True:
            try:
                item = self._queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                reached(end)
                continue
            if isinstance(item, BaseException):
                raise item
            end += len(item or b"")
            if end > self._size:
                raise ImageUnacceptable(f"The image service sent more than the image's {self._size} bytes.")
            if item is None and end < self._size:
                raise ImageUnacceptable(f"The image service sent {end} of the image's {self._size} bytes.")
            if item is None:
                return
            reached(end)
            yield item

    def _stop(self) -> None:
        self._stopped.set()
        with suppress(queue.Empty):
            self._queue.get_nowait()  # which lets a thread go on that waits for room

    def _fetch(self) -> None:
        try:
            for piece in self._pieces:
                if not self._put(piece):
                    break
            else:
                self._put(None)
        except BaseException as error:
            self._put(error)
        finally:
            self._pieces.close()

    def _put(self, item: bytes | BaseException | None) -> bool:
        """False once nobody waits for more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_SECONDS)
                return True
            except queue.Full:
                continue
        return False
