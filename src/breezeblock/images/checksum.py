"""What the bytes of an image have to be: hashed beside their transfer, and judged at its end."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress

import msgspec

from breezeblock.errors import ImageUnacceptable
from breezeblock.images.digest import Digest, new_digest
from breezeblock.model.image import Image

AHEAD = 8
"""Pieces that wait to be hashed, so that the thread which does it never waits for the next one."""
NICER = 5
"""How much a hash goes before its process's other threads: nothing else of an image's way takes as long on one processor."""


class HashState(msgspec.Struct, frozen=True):
    """How far an image is hashed: the first `position` bytes."""

    algorithm: str
    position: int
    state: bytes


class Check(msgspec.Struct, frozen=True):
    """A judgement of an image by the hash of its bytes, by hashlib's name of the algorithm.

    `judge` is called with the hash, and raises `ImageUnacceptable`.
    """

    algorithm: str
    judge: Callable[[bytes], None]


def expected(image: Image) -> tuple[str, str] | None:
    """Algorithm and value that the image's bytes must have: Glance's multihash, else its md5, else nothing."""
    if image.os_hash_value and image.os_hash_algo and image.os_hash_algo in hashlib.algorithms_available:
        return image.os_hash_algo, image.os_hash_value
    return ("md5", image.checksum) if image.checksum else None


def has_value(algorithm: str, value: str) -> Check:
    """The check that the hash is this one, in hex digits."""

    def judge(found: bytes) -> None:
        if found.hex() != value:
            raise ImageUnacceptable(
                f"The image's content does not have its checksum ({algorithm}); upload the image again."
            )

    return Check(algorithm, judge)


def checks_of(image: Image) -> tuple[Check, ...]:
    """What is checked of every image: the hash that its service tells."""
    wanted = expected(image)
    return (has_value(*wanted),) if wanted else ()


class Checksum:
    """Hashes, once for each algorithm that is checked, in threads of their own: hashing sets the interpreter free, so it
    runs beside input and output. One thread may give it bytes while another asks for its states."""

    def __init__(self, checks: Sequence[Check], kept: Sequence[HashState] = ()) -> None:
        """Goes on from `kept`, of which there is one for each algorithm, if there is any."""
        self._position = kept[0].position if kept else 0
        states = {one.algorithm: one.state for one in kept}
        self._checks = checks
        self._digests: dict[str, Digest] = {
            name: new_digest(name, states.get(name)) for name in dict.fromkeys(one.algorithm for one in checks)
        }
        # one thread for each: the pieces of a hash have to keep their order
        self._threads = {name: ThreadPoolExecutor(1, "image-hash", _go_first) for name in self._digests}
        self._pending: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the threads; what waits to be hashed is not."""
        for thread in self._threads.values():
            thread.shutdown(cancel_futures=True)

    def hashed(self, pieces: Generator[bytes, None, None], position: int) -> Generator[bytes, None, None]:
        """The pieces of the image from `position` on, each of which is being hashed when it comes out."""
        with closing(pieces):
            for piece in pieces:
                self.update(piece, position)
                position += len(piece)
                yield piece

    def update(self, piece: bytes, position: int) -> None:
        """Hash the bytes at `position` of the image while the caller goes on; what was hashed before is left out."""
        with self._lock:
            known = self._position - position
            self._position = max(self._position, position + len(piece))
            if not self._digests or known >= len(piece):
                return
            data = piece[known:] if known > 0 else piece
            self._wait(AHEAD * len(self._digests))
            for name, digest in self._digests.items():
                self._pending.append(self._threads[name].submit(digest.update, data))

    def states(self) -> tuple[HashState, ...]:
        """To go on from in another process; nothing where there is no hash, or one that cannot be taken up."""
        with self._lock:
            self._wait()
            states = [(digest.name, digest.state()) for digest in self._digests.values()]
            kept = [HashState(name, self._position, state) for name, state in states if state is not None]
            return tuple(kept) if len(kept) == len(states) else ()

    def verify(self) -> None:
        """Raises `ImageUnacceptable` when the bytes were other ones."""
        with self._lock:
            self._wait()
        for check in self._checks:
            check.judge(bytes.fromhex(self._digests[check.algorithm].hexdigest()))

    def _wait(self, left: int = 0) -> None:
        """Until no more than so many updates are under way."""
        while len(self._pending) > left:
            self._pending.popleft().result()


def _go_first() -> None:
    """Give this thread a higher priority, where the process may: root, or with a limit as of LimitNICE in its unit."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) - NICER)
