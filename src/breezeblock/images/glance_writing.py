"""Images made in a Glance: begun with the caller's own token, filled and removed with the service's credentials.

A token may expire while gigabytes are sent, and a flow that is taken up after a crash has none: so the caller's is used
for the one call in which Glance's policies and quotas have to hold for him.
"""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from breezeblock.context import RequestContext
from breezeblock.errors import (
    BreezeblockError,
    Conflict,
    Forbidden,
    ImageUnacceptable,
    InvalidInput,
    NotFound,
    OverQuota,
    ServiceUnavailable,
)
from breezeblock.images.catalog import ImageData
from breezeblock.model.image import Image

HASH = "sha512"
"""What Glance computes, unless its `hashing_algorithm` says otherwise."""

_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
_KINDS: dict[int, type[BreezeblockError]] = {
    400: InvalidInput,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: OverQuota,
    415: InvalidInput,
}
_TAGS = re.compile(r"<[^>]*>")


class GlanceWriting:
    """The writing half of `GlanceCatalog`."""

    _adapter: Any

    def get(self, context: RequestContext, image_id: str) -> Image:
        """As `GlanceCatalog` has it."""
        raise NotImplementedError

    def _endpoint(self) -> str:
        raise NotImplementedError

    def _record(self, body: dict[str, Any]) -> Image:
        raise NotImplementedError

    def create(self, context: RequestContext, *, token: str | None = None, **fields: Any) -> Image:
        """A new image without data; without a token it is made by the service, for the caller's project.

        Raises:
            InvalidInput, Forbidden, OverQuota, Conflict: Glance does not want it.
            ServiceUnavailable: Glance or Keystone does not answer as it should.
        """
        properties = fields.pop("properties", {})
        body = {**properties, **fields}
        options: dict[str, Any] = {}
        if token is None:
            body["owner"] = context.project_id
        else:
            options["auth"] = _of_caller(token)
        return self._record(self._send("POST", "/v2/images", json=body, **options).json())

    def upload(self, context: RequestContext, image_id: str, pieces: ImageData) -> Image:
        """Give a queued image its data; what Glance then has is compared with what was sent."""
        status = self.get(context, image_id).status
        if status != "queued":  # asked first: who refuses a long body unread is not heard
            raise Conflict(f"The image {image_id} cannot take data: it is {status}.")
        body = _Body(pieces)
        try:
            self._send(
                "PUT",
                f"/v2/images/{quote(image_id, safe='')}/file",
                data=_SizedBody(body, pieces.length) if pieces.length is not None else body,
                headers={"Content-Type": "application/octet-stream"},
            )
        except InvalidInput as error:
            raise ImageUnacceptable(error.message) from error
        image = self.get(context, image_id)
        whole = image.size == body.sent and (image.os_hash_algo != HASH or image.os_hash_value == body.digest)
        if image.status != "active" or not whole:
            raise ImageUnacceptable(
                f"The image service has something else than it was sent: {image.size} bytes of {body.sent}, {image.status}."
            )
        return image

    def describe(self, image_id: str, properties: dict[str, str]) -> None:
        """Set these properties of an image; others stay."""
        path = f"/v2/images/{quote(image_id, safe='')}"
        changes = [{"op": "add", "path": f"/{name}", "value": value} for name, value in properties.items()]
        self._send("PATCH", path, json=changes, headers=_PATCH)

    def discard(self, image_id: str) -> None:
        """Remove an image, protected or not. Gone is done."""
        path = f"/v2/images/{quote(image_id, safe='')}"
        try:
            try:
                self._send("DELETE", path)
            except Forbidden:  # so Glance says that it is protected
                self._send(
                    "PATCH", path, json=[{"op": "replace", "path": "/protected", "value": False}], headers=_PATCH
                )
                self._send("DELETE", path)
        except NotFound:
            return

    def _send(self, method: str, path: str, **options: Any) -> Any:
        from keystoneauth1 import exceptions

        try:
            return self._adapter.request(self._endpoint() + path, method, log=False, **options)
        except exceptions.HttpError as error:
            kind = _KINDS.get(error.http_status, ServiceUnavailable)
            raise kind(f"The image service answers {error.http_status}: {_reason(error)}") from error
        except exceptions.ClientException as error:
            raise ServiceUnavailable(f"The image service does not answer ({type(error).__name__}).") from error


class _Body:
    """What is sent: counted, and hashed in a thread of its own while it is sent. Begins anew when it is iterated again."""

    def __init__(self, pieces: ImageData) -> None:
        self.sent, self.digest = 0, ""
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        digest = hashlib.new(HASH)
        self.sent = 0
        with ThreadPoolExecutor(1, thread_name_prefix="hash") as thread:
            for piece in self._pieces:
                hashed = thread.submit(digest.update, piece)
                yield piece
                hashed.result()
                self.sent += len(piece)
        self.digest = digest.hexdigest()


class _SizedBody:
    """The same with a length, by which `requests` knows not to send it in chunks."""

    def __init__(self, body: _Body, length: int) -> None:
        self._body = body
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)


def _of_caller(token: str) -> Any:
    from keystoneauth1 import token_endpoint

    return token_endpoint.Token(None, token)


def _reason(error: Any) -> str:
    """What Glance says, which it says in HTML."""
    text = _TAGS.sub(" ", error.response.text if error.response is not None else "")
    return " ".join(text.split())[:500] or error.message
