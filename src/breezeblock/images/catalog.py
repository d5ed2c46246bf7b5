"""What an image service is to us: the protocol that Glance and the local store both implement."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from breezeblock.context import RequestContext
from breezeblock.errors import BreezeblockError
from breezeblock.model.image import Image


class RangesUnsupported(BreezeblockError):
    """The image service sends images as a whole only."""


class ImageCatalog(Protocol):
    """Images, to be read. All verbs block; all raise `NotFound` for an image that is not there or not visible,
    `ServiceUnavailable` when the service does not answer."""

    def get(self, context: RequestContext, image_id: str) -> Image:
        """One image with its locations, if the service tells them."""

    def find(self, context: RequestContext, name: str) -> list[Image]:
        """All visible images of that name."""

    def open(self, image_id: str, offset: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The image's bytes from `offset` on, in pieces of about a MiB, by the service's own credentials."""

    def read(self, image_id: str, length: int, offset: int) -> bytes:
        """Exactly `length` bytes at `offset`. Raises `RangesUnsupported` where the service only sends whole images."""

    def location(self, image_id: str) -> str:
        """Names the place that the bytes come from, for the note that they were verified there; another file or service
        has another name."""

    def local_path(self, image_id: str) -> Path | None:
        """The image's file, when it lies on this machine and may be read in place; it never changes there."""
