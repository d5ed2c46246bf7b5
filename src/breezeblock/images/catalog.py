"""What an image service is to us: the protocol that Glance and the local store both implement."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from breezeblock.context import RequestContext
from breezeblock.errors import BreezeblockError
from breezeblock.model.image import Image


class RangesUnsupported(BreezeblockError):
    """The image service sends images as a whole only."""


class ImageData(Iterable[bytes], Protocol):
    """An image's bytes on their way to the image service; whoever iterates again gets all of them again."""

    length: int | None
    """Bytes; None where nobody knows before the end."""


class ImageCatalog(Protocol):
    """Images, to be read and made. All verbs block; all raise `NotFound` for an image that is not there or not visible,
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

    def create(self, context: RequestContext, *, token: str | None = None, **fields: Any) -> Image:
        """A new image without data (`queued`), which belongs to the caller's project.

        `fields` are fields of `Image`. `token` is the caller's own, so that the service's rules for him hold.
        Raises `InvalidInput`, `Forbidden`, `OverQuota`, `Conflict` as the service judges it.
        """

    def upload(self, context: RequestContext, image_id: str, pieces: ImageData) -> Image:
        """Give a queued image its data, by the service's own credentials; it is `active` then, and whole.

        Raises:
            Conflict: it has data already, or gets them right now; also of somebody who was cut off a moment ago.
            ImageUnacceptable: the data are not kept: the service does not like them, or they came to harm.
            OverQuota, Forbidden: the service has no room for them, or for this project.
            Whatever `pieces` raises; the image has no data then.
        """

    def describe(self, image_id: str, properties: dict[str, str]) -> None:
        """Set these properties of an image, by the service's own credentials; others stay."""

    def discard(self, image_id: str) -> None:
        """Remove an image whose making came to nothing, protected or not. Gone is done."""
