"""Images begun, filled and removed in a Glance, and what is made of one that misbehaves. The real one: tests/real."""

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from breezeblock.context import RequestContext
from breezeblock.errors import (
    Cancelled,
    Conflict,
    Forbidden,
    ImageUnacceptable,
    InvalidInput,
    NotFound,
    OverQuota,
    ServiceUnavailable,
)
from breezeblock.images.glance import GlanceCatalog
from tests.unit import test_image_glance

ME = RequestContext(user_id="u", project_id="mine")
SERVICE = ME.as_service()
MINE = "gAAAAAmy-own-token"
DATA = bytes(range(256)) * 20_000
HTML = "<html>\n <head><title>{0} No</title></head><body><h1>{0} No</h1>\n  {1}<br /><br />\n</body></html>"


class Glance(test_image_glance.Cloud):
    """With the calls that change images. A `refusal` answers the next data; `half` keeps half of them."""

    tokens: ClassVar[list[tuple[str, str | None]]] = []
    asked_for: ClassVar[dict[str, Any]] = {}
    headers_of_data: ClassVar[dict[str, str]] = {}
    data: ClassVar[bytes | None] = None
    refusal: ClassVar[tuple[int, str] | None] = None
    half: ClassVar[bool] = False
    algorithm: ClassVar[str] = "sha512"

    def refuse(self, status: int, why: str) -> None:
        self.close_connection = True
        self.answer(status, HTML.format(status, why).encode(), {"Content-Type": "text/html"})

    def do_POST(self) -> None:  # noqa: N802
        if self.path != "/v2/images":
            return super().do_POST()
        self.tokens.append(("POST", self.headers["X-Auth-Token"]))
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked_for = sent
        if sent.get("container_format") == "tin":
            return self.refuse(400, "Invalid container format 'tin' for image.")
        if sent.get("name") == "too many":
            return self.refuse(413, "over quota")
        nothing = {"status": "queued", "size": None, "checksum": None, "owner": "mine"}
        self.images["new"] = test_image_glance.body("new", **nothing | sent)
        return self.answer(201, self.images["new"])

    def do_PUT(self) -> None:  # noqa: N802
        self.tokens.append(("PUT", self.headers["X-Auth-Token"]))
        type(self).headers_of_data = dict(self.headers)
        image = self.images["new"]
        if self.refusal is not None:
            self.body()
            return self.refuse(*self.refusal)
        image["status"] = "saving"
        try:
            data = self.body()
        except ConnectionError:
            image["status"] = "queued"
            self.close_connection = True
            return None
        data = data[: len(data) // 2] if self.half else data
        digest = hashlib.new(self.algorithm, data).hexdigest()
        type(self).data = data
        image |= {"status": "active", "size": len(data), "os_hash_algo": self.algorithm, "os_hash_value": digest}
        return self.answer(204, b"")

    def body(self) -> bytes:
        length = self.headers["Content-Length"]
        if length is not None:
            data = self.rfile.read(int(length))
            if len(data) < int(length):
                raise ConnectionError
            return data
        data = b""
        while size := int(self.rfile.readline() or b"x", 16) if not self.is_cut() else -1:
            if size < 0:
                raise ConnectionError
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def is_cut(self) -> bool:
        return not self.rfile.peek(1)  # type: ignore[attr-defined]

    def do_PATCH(self) -> None:  # noqa: N802
        assert self.headers["Content-Type"] == "application/openstack-images-v2.1-json-patch"
        (change,) = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert change == {"op": "replace", "path": "/protected", "value": False}
        self.images["new"]["protected"] = False
        self.answer(200, self.images["new"])

    def do_DELETE(self) -> None:  # noqa: N802
        image = self.images.get(self.path.rpartition("/")[2])
        if image is None:
            return self.refuse(404, "not found")
        if image["protected"]:
            return self.refuse(403, "Image is protected and cannot be deleted.")
        del self.images[image["id"]]
        return self.answer(204, b"")


@pytest.fixture
def catalog() -> Iterator[GlanceCatalog]:
    """A catalog with the service's credentials."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Glance)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    Glance.images, Glance.tokens, Glance.data, Glance.refusal = {}, [], None, None
    Glance.half, Glance.algorithm, Glance.down = False, "sha512", False
    url = f"http://127.0.0.1:{server.server_address[1]}/v3"
    catalog = GlanceCatalog(test_image_glance.options(auth_url=url, username="u", password="right"))
    yield catalog
    catalog.close()
    server.shutdown()
    thread.join()
    server.server_close()


class Pieces:
    """Data in pieces of odd sizes; `fails` after some of them."""

    def __init__(self, length: int | None = None, fails: BaseException | None = None) -> None:
        self.length, self.fails, self.times = length, fails, 0

    def __iter__(self) -> Iterator[bytes]:
        self.times += 1
        for at in range(0, len(DATA), 99_991):
            if self.fails and at > len(DATA) // 2:
                raise self.fails
            yield DATA[at : at + 99_991]


def begun(catalog: GlanceCatalog, **fields: Any) -> str:
    wanted = {"name": "img", "disk_format": "raw", "container_format": "bare", **fields}
    return catalog.create(ME, token=MINE, **wanted).id


def test_an_image_is_begun_with_the_callers_token(catalog: GlanceCatalog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    image = catalog.create(
        ME,
        token=MINE,
        name="img",
        disk_format="qcow2",
        container_format="bare",
        min_disk=3,
        visibility="private",
        protected=True,
        properties={"os_distro": "debian", "name": "never"},
    )
    assert (image.status, image.name, image.min_disk, image.protected) == ("queued", "img", 3, True)
    assert image.properties["os_distro"] == "debian"
    assert "owner" not in Glance.asked_for
    assert Glance.asked_for["name"] == "img"
    assert Glance.tokens == [("POST", MINE)]
    assert MINE not in caplog.text


def test_without_a_token_it_is_made_for_the_project(catalog: GlanceCatalog) -> None:
    image = catalog.create(ME, name="img", disk_format="raw", container_format="bare")
    assert Glance.asked_for["owner"] == "mine"
    assert image.status == "queued"
    assert Glance.tokens == [("POST", test_image_glance.TOKEN)]


def test_what_glance_does_not_want(catalog: GlanceCatalog) -> None:
    with pytest.raises(InvalidInput, match=r"400: .*Invalid container format 'tin' for image") as refused:
        begun(catalog, container_format="tin")
    assert "<" not in refused.value.message
    with pytest.raises(OverQuota, match="over quota"):
        begun(catalog, name="too many")


@pytest.mark.parametrize("length", [len(DATA), None])
def test_the_data_are_sent_as_they_come(catalog: GlanceCatalog, length: int | None) -> None:
    image = catalog.upload(SERVICE, begun(catalog), Pieces(length))
    assert (image.status, image.size) == ("active", len(DATA))
    assert Glance.data == DATA
    assert Glance.tokens[-1] == ("PUT", test_image_glance.TOKEN)
    assert Glance.headers_of_data.get("Content-Length") == (str(length) if length else None)
    assert Glance.headers_of_data.get("Transfer-Encoding") == (None if length else "chunked")
    assert Glance.headers_of_data["Content-Type"] == "application/octet-stream"


def test_half_of_the_data(catalog: GlanceCatalog) -> None:
    Glance.half = True
    with pytest.raises(ImageUnacceptable, match="something else than it was sent"):
        catalog.upload(SERVICE, begun(catalog), Pieces(len(DATA)))


def test_another_hash_than_ours_is_no_reason_to_refuse(catalog: GlanceCatalog) -> None:
    Glance.algorithm = "sha256"
    assert catalog.upload(SERVICE, begun(catalog), Pieces(len(DATA))).os_hash_algo == "sha256"


def test_other_data_of_the_same_length(catalog: GlanceCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Glance, "body", lambda self: bytes(len(self.rfile.read(int(self.headers["Content-Length"])))))
    with pytest.raises(ImageUnacceptable, match="something else than it was sent"):
        catalog.upload(SERVICE, begun(catalog), Pieces(len(DATA)))


@pytest.mark.parametrize("status", ["saving", "active", "importing"])
def test_an_image_that_takes_no_data(catalog: GlanceCatalog, status: str) -> None:
    image_id = begun(catalog)
    Glance.images["new"]["status"] = status
    pieces = Pieces(len(DATA))
    with pytest.raises(Conflict, match=f"it is {status}"):
        catalog.upload(SERVICE, image_id, pieces)
    assert pieces.times == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ImageUnacceptable),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, NotFound),
        (413, OverQuota),
        (415, ImageUnacceptable),
        (503, ServiceUnavailable),
    ],
)
def test_data_that_are_refused(catalog: GlanceCatalog, status: int, kind: type[Exception]) -> None:
    image_id = begun(catalog)
    Glance.refusal = (status, "because of the moon")
    with pytest.raises(kind, match="because of the moon"):
        catalog.upload(SERVICE, image_id, Pieces(None))


@pytest.mark.parametrize("length", [len(DATA), None])
def test_what_the_data_raise_ends_the_upload(catalog: GlanceCatalog, length: int | None) -> None:
    image_id = begun(catalog)
    pieces = Pieces(length, Cancelled("enough"))
    with pytest.raises(Cancelled, match="enough"):
        catalog.upload(SERVICE, image_id, pieces)
    assert pieces.times == 1
    assert Glance.data is None


def test_an_image_is_discarded_protected_or_not(catalog: GlanceCatalog) -> None:
    for protected in (False, True):
        catalog.discard(begun(catalog, protected=protected))
        assert Glance.images == {}
    catalog.discard("new")


def test_a_token_that_has_expired_costs_one_more_question(
    catalog: GlanceCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = begun(catalog)
    refusals = [401]
    put = Glance.do_PUT

    def expired(self: Glance) -> None:
        if refusals:
            refusals.pop()
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(401, b"")
        else:
            put(self)

    monkeypatch.setattr(Glance, "do_PUT", expired)
    pieces = Pieces(len(DATA))
    assert catalog.upload(SERVICE, image_id, pieces).size == len(DATA)
    assert pieces.times == 2
