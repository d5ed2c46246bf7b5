"""The protocol of what backups are kept in: named objects, as a directory has them or an object store."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class ObjectStore(Protocol):
    """Keeps objects under names such as `volume-<id>/chunks/ab/abcd…`, in which `/` parts one level from the next.

    An object is there whole or not at all, also when a writer dies or two write the same. Every verb may be run twice.
    Raises `BackendOutOfSpace` when there is no room, `BackendTransient` when the store does not answer as it should.
    """

    def put(self, name: str, content: bytes) -> None:
        """Keep an object, in the place of one of that name; on stable storage when this returns."""

    def get(self, name: str) -> bytes:
        """An object. Raises `BackendNotFound`."""

    def has(self, name: str) -> bool:
        """Whether the object is there."""

    def list(self, prefix: str) -> Iterator[str]:
        """The names of all objects below a level (`volume-<id>/chunks`), in order."""

    def levels(self) -> Iterator[str]:
        """The topmost levels that there are."""

    def delete(self, name: str, *, settled: bool = False) -> None:
        """Remove an object; gone is done. Where it has to be `settled`, that is on stable storage when this returns."""

    def sweep(self, prefix: str) -> None:
        """Remove what killed writers left below a level. Called only while nobody writes there."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Alone in this among all processes that use the store, those of other machines too. Taken for short."""
