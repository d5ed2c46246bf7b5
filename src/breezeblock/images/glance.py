"""Images of a Glance (v2 API), read with the service's own credentials.

Those credentials may see every image, so what the asking project may see is decided here, by Glance's rules. Tokens
live in the session alone: no message, log line or argument list has one.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from breezeblock.context import RequestContext
from breezeblock.errors import BreezeblockError, ConfigError, NotFound, ServiceUnavailable
from breezeblock.images.catalog import RangesUnsupported
from breezeblock.images.glance_writing import GlanceWriting
from breezeblock.model.image import Image, ImageLocation

LOG = logging.getLogger(__name__)

_PIECE = 1 << 20
_PAGE = 100
_RECONNECTS = 3
_LINKS = {"self", "file", "schema", "stores"}


class GlanceCatalog(GlanceWriting):
    """An `ImageCatalog` over Glance. Safe to use from several threads."""

    def __init__(self, glance: Mapping[str, Any]) -> None:
        """`glance` holds the options of the section `[glance]`. Nothing is asked of the network yet.

        Raises:
            ConfigError: neither `auth_url` nor `endpoint_override` is given, or the extra `keystone` is not installed.
        """
        self._adapter = _adapter(glance)

    def log_in(self) -> None:
        """Get a token ahead of the first image, which would wait a third of a second for it; a failure is logged alone."""
        try:
            with _answers("The catalog has no image service."):
                self._endpoint()
        except BreezeblockError as error:
            LOG.warning("Until that is mended there are no images: %s", error.message)

    def get(self, context: RequestContext, image_id: str) -> Image:
        """One image, with its locations where Glance shows them to the service.

        Raises:
            NotFound: there is none, or the project may not see it.
            ServiceUnavailable: Glance or Keystone does not answer as it should.
        """
        image = _image(self._json(f"/v2/images/{quote(image_id, safe='')}", f"No image found with ID {image_id}."))
        if not self._visible(context, image, {"accepted", "pending", "rejected"}):
            raise NotFound(f"No image found with ID {image_id}.")
        return image

    def find(self, context: RequestContext, name: str) -> list[Image]:
        """All images of that name that the project sees in its own lists."""
        found: list[Image] = []
        path: str | None = f"/v2/images?name={quote(name, safe='')}&limit={_PAGE}"
        while path:
            page = self._json(path, "Glance has no list of images.")
            # a name such as `in:a,b` is a filter to Glance
            found += [image for image in map(_image, page["images"]) if image.name == name]
            path = page.get("next")
        return [image for image in found if self._visible(context, image, {"accepted"})]

    @contextmanager
    def open(self, image_id: str, offset: int = 0) -> Iterator[Iterator[bytes]]:
        """The image's bytes from `offset` on; a lost connection is taken up where it broke, a few times."""
        pieces = self._pieces(image_id, offset)
        try:
            yield pieces
        finally:
            pieces.close()

    def read(self, image_id: str, length: int, offset: int) -> bytes:
        """A range of the image. Raises `RangesUnsupported` where Glance's store only sends whole images."""
        import requests

        for lost in range(_RECONNECTS + 1):
            response = self._data(image_id, f"bytes={offset}-{offset + length - 1}")
            try:
                if response.status_code != 206:
                    raise RangesUnsupported
                data = b"".join(response.iter_content(length))  # its `content` comes in pieces of 10 KiB
            except requests.RequestException as error:
                if lost == _RECONNECTS:
                    raise ServiceUnavailable("The image service broke off in the middle of an image.") from error
                continue
            finally:
                response.close()
            if len(data) != length:
                raise ServiceUnavailable(f"The image service sent {len(data)} bytes for a range of {length}.")
            return data
        raise AssertionError  # the last round returns or raises

    def location(self, image_id: str) -> str:
        """Glance's address: the images there never change."""
        with _answers(f"The image {image_id} has no data."):
            return f"glance:{self._endpoint()}"

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._adapter.session.session.close()

    def local_path(self, image_id: str) -> Path | None:
        """None: Glance's files are its own."""
        return None

    def _pieces(self, image_id: str, offset: int) -> Any:
        import requests

        lost = 0
        while True:
            response, skipped = self._behind(image_id, offset)
            try:
                for piece in response.iter_content(_PIECE):
                    rest = piece[skipped:]
                    skipped -= len(piece) - len(rest)
                    if rest:
                        yield rest
                        offset += len(rest)
                        lost = 0
                return
            except requests.RequestException as error:
                lost += 1
                if lost > _RECONNECTS:
                    raise ServiceUnavailable("The image service broke off in the middle of an image.") from error
            finally:
                response.close()

    def _behind(self, image_id: str, offset: int) -> tuple[Any, int]:
        """The image's bytes from `offset` on, or, of a store that cannot seek, all of them; and how many are too many."""
        if offset:
            with suppress(RangesUnsupported):
                response = self._data(image_id, f"bytes={offset}-")
                return response, 0 if response.status_code == 206 else offset
        return self._data(image_id, None), offset

    def _data(self, image_id: str, wanted_range: str | None) -> Any:
        missing = f"The image {image_id} has no data."
        headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        if wanted_range:
            headers["Range"] = wanted_range
        path = f"/v2/images/{quote(image_id, safe='')}/file"
        response = self._request(path, missing, ranged=wanted_range is not None, headers=headers, stream=True)
        if response.status_code == 204:
            response.close()
            raise NotFound(missing)
        return response

    def _visible(self, context: RequestContext, image: Image, member_status: set[str]) -> bool:
        if context.is_admin or image.owner == context.project_id or image.visibility in {"public", "community"}:
            return True
        if image.visibility != "shared":
            return False
        try:
            members = self._json(f"/v2/images/{quote(image.id, safe='')}/members", "")["members"]
        except NotFound:
            return False
        return any(
            member["member_id"] == context.project_id and member["status"] in member_status for member in members
        )

    def _json(self, path: str, missing: str) -> Any:
        body = self._request(path, missing, headers={"Accept": "application/json"}).content
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise ServiceUnavailable("The image service answered something that is not JSON.") from error

    def _record(self, body: dict[str, Any]) -> Image:
        return _image(body)

    def _endpoint(self) -> str:
        endpoint = (self._adapter.get_endpoint() or "").rstrip("/").removesuffix("/v2")
        if not endpoint:
            raise ServiceUnavailable("The catalog has no image service; set endpoint_override in [glance].")
        return str(endpoint)

    def _request(self, path: str, missing: str, *, ranged: bool = False, **options: Any) -> Any:
        with _answers(missing, ranged):
            return self._adapter.get(self._endpoint() + path, log=False, **options)


@contextmanager
def _answers(missing: str, ranged: bool = False) -> Iterator[None]:
    """Turns what Glance and Keystone answer into errors of ours; `missing` says what is not there.

    `ranged`: a part was asked for, which Glance refuses as a bad request where its store cannot seek, such as that of RBD.
    """
    from keystoneauth1 import exceptions

    try:
        yield
    except (exceptions.NotFound, exceptions.Gone) as error:
        raise NotFound(missing) from error
    except exceptions.Unauthorized as error:
        raise ServiceUnavailable("The credentials in [glance] are not accepted.") from error
    except exceptions.Forbidden as error:
        # without the administrator's role Glance hides what is not the service's own
        raise NotFound(missing) from error
    except exceptions.ClientException as error:
        if ranged and isinstance(error, exceptions.BadRequest):
            raise RangesUnsupported from error
        raise ServiceUnavailable(f"The image service does not answer ({type(error).__name__}).") from error


def _adapter(glance: Mapping[str, Any]) -> Any:
    try:
        from keystoneauth1 import adapter, noauth, session
        from keystoneauth1.identity import v3
    except ImportError as error:
        raise ConfigError("image_service = glance needs the extra: pip install 'breezeblock[keystone]'.") from error
    endpoint = glance["endpoint_override"]
    if glance["auth_url"]:
        names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
        auth: Any = v3.Password(**{name: glance[name] for name in names})
    elif endpoint:
        auth = noauth.NoAuth(endpoint=endpoint)
    else:
        raise ConfigError("image_service = glance needs auth_url (and credentials) in the section [glance].")
    return adapter.Adapter(
        session.Session(auth=auth, verify=glance["cafile"] or True, timeout=glance["timeout"]),
        service_type="image",
        interface="internal",
        region_name=glance["region_name"],
        endpoint_override=endpoint,
        connect_retries=1,
    )


def _image(body: dict[str, Any]) -> Image:
    """Glance keeps properties beside its own fields; here they have a place of their own."""
    own = {name: body[name] for name in Image.__struct_fields__ if name in body and name not in {"properties"}}
    for name in ("created_at", "updated_at"):
        own[name] = str(own.get(name) or "").removesuffix("Z") + ".000000"
    own["locations"] = [
        ImageLocation(url=place["url"], metadata=place.get("metadata") or {}) for place in own.get("locations") or []
    ]
    own["properties"] = {
        name: value for name, value in body.items() if name not in own and name not in _LINKS and isinstance(value, str)
    }
    defaults = {"min_disk": 0, "min_ram": 0, "protected": False, "os_hidden": False, "tags": []}
    return msgspec.convert({**own, **{k: v for k, v in defaults.items() if own.get(k) is None}}, Image)
