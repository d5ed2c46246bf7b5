"""What is asked of Glance and Keystone, what is made of their answers, and what a project may see of them.

The server here speaks the parts of both protocols that are needed and can misbehave; the real ones are asked in
tests/real.
"""

import json
import logging
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from breezeblock.config import GLANCE_OPTIONS
from breezeblock.context import RequestContext
from breezeblock.errors import ConfigError, NotFound, ServiceUnavailable
from breezeblock.images.catalog import RangesUnsupported
from breezeblock.images.glance import GlanceCatalog
from breezeblock.model.image import ImageLocation

ME = RequestContext(user_id="u", project_id="mine")
ADMIN = RequestContext(user_id="a", project_id="admins", is_admin=True)
DATA = os.urandom((3 << 20) + 17)
TOKEN = "gAAAAABsecret-token"


def body(image_id: str, **fields: Any) -> dict[str, Any]:
    """An image as Glance shows it; its name is its id."""
    return {
        "id": image_id,
        "name": image_id,
        "status": "active",
        "visibility": "private",
        "owner": "theirs",
        "size": len(DATA),
        "virtual_size": None,
        "disk_format": "raw",
        "container_format": "bare",
        "checksum": "c",
        "min_disk": 0,
        "min_ram": 0,
        "protected": False,
        "os_hidden": False,
        "tags": ["t"],
        "created_at": "2026-01-31T12:00:00Z",
        "updated_at": "2026-01-31T12:00:01Z",
        "self": f"/v2/images/{image_id}",
        "file": f"/v2/images/{image_id}/file",
        "schema": "/v2/schemas/image",
        "os_distro": "debian",
        **fields,
    }


class Cloud(BaseHTTPRequestHandler):
    """Keystone and Glance."""

    protocol_version = "HTTP/1.1"
    images: ClassVar[dict[str, dict[str, Any]]] = {}
    members: ClassVar[dict[str, list[dict[str, str]]]] = {}
    asked: ClassVar[list[str]] = []
    lose_after: ClassVar[list[int]] = []
    ignore_range: ClassVar[bool] = False
    refuse_range: ClassVar[bool] = False
    """As with a store that cannot seek, such as that of RBD."""
    down: ClassVar[bool] = False
    logins: ClassVar[int] = 0

    @property
    def here(self) -> str:
        host, port = self.request.getsockname()
        return f"http://{host}:{port}"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        login = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if login["auth"]["identity"]["password"]["user"]["password"] != "right":
            return self.answer(401, {"error": {"message": "no", "code": 401}})
        endpoint = {"interface": "internal", "region": "one", "region_id": "one", "url": f"{self.here}/", "id": "e"}
        token = {
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "methods": ["password"],
            "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}},
            "roles": [],
            "catalog": [{"type": "image", "name": "glance", "id": "g", "endpoints": [endpoint]}],
        }
        Cloud.logins += 1
        return self.answer(201, {"token": token}, {"X-Subject-Token": TOKEN})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path.startswith("/v3"):
            version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{self.here}/v3/"}]}
            return self.answer(200, {"version": version})
        self.asked.append(self.path)
        if self.down:
            return self.answer(503, {})
        if self.headers["X-Auth-Token"] not in {TOKEN, "notused"}:
            return self.answer(401, {})
        if url.path == "/v2/images":
            return self.page(parse_qs(url.query))
        _, _, _, name, *rest = url.path.split("/")
        if name not in self.images:
            return self.answer(404, {})
        if rest == ["file"]:
            return self.file()
        return self.answer(200, {"members": self.members.get(name, [])} if rest else self.images[name])

    def page(self, query: dict[str, list[str]]) -> None:
        found = [image for image in self.images.values() if image["name"].startswith(query["name"][0])]
        at = int(query.get("marker", ["0"])[0])
        links = {"next": f"/v2/images?name={query['name'][0]}&marker={at + 2}"} if at + 2 < len(found) else {}
        return self.answer(200, {"images": found[at : at + 2], **links})

    def file(self) -> None:
        given = self.headers["Range"]
        if given and self.refuse_range:
            return self.answer(400, b"", {})
        start = int(given.removeprefix("bytes=").removesuffix("-")) if given and not self.ignore_range else 0
        data = DATA[start:]
        headers = {"Content-Length": str(len(data))}
        if not self.lose_after:
            return self.answer(206 if start else 200, data, headers)
        self.answer(206 if start else 200, data[: self.lose_after.pop()], headers)
        self.close_connection = True
        return None


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The URL of a cloud of its own behaviour."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    Cloud.images, Cloud.members, Cloud.asked, Cloud.lose_after = {}, {}, [], []
    Cloud.ignore_range = Cloud.down = False
    Cloud.logins = 0
    for visibility in ("public", "community", "private", "shared"):
        Cloud.images[visibility] = body(visibility, visibility=visibility)
    Cloud.images["own"] = body("own", owner="mine")
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def options(**given: Any) -> dict[str, Any]:
    """The section `[glance]`."""
    return {option.name: option.default for option in GLANCE_OPTIONS} | given


@pytest.fixture
def catalog(endpoint: str) -> Iterator[GlanceCatalog]:
    """A catalog with credentials."""
    catalog = GlanceCatalog(options(auth_url=f"{endpoint}/v3", username="u", password="right"))
    yield catalog
    catalog.close()


def read(catalog: GlanceCatalog, image_id: str, offset: int = 0) -> bytes:
    """An image's data."""
    with catalog.open(image_id, offset) as pieces:
        return b"".join(pieces)


def test_an_image_with_all_it_has(catalog: GlanceCatalog) -> None:
    places = [{"url": "cinder://store/1", "metadata": {"store": "store"}}, {"url": "file:///x"}]
    Cloud.images["own"] |= {"locations": places, "direct_url": "cinder://store/1", "os_hash_algo": "sha512"}
    image = catalog.get(ME, "own")
    assert (image.id, image.owner, image.size, image.tags) == ("own", "mine", len(DATA), ["t"])
    assert image.properties == {"os_distro": "debian"}
    assert image.locations == [
        ImageLocation(url="cinder://store/1", metadata={"store": "store"}),
        ImageLocation(url="file:///x"),
    ]
    assert (image.direct_url, image.os_hash_algo) == ("cinder://store/1", "sha512")
    assert image.updated_at == "2026-01-31T12:00:01.000000"
    assert catalog.local_path("own") is None


def test_the_token_is_there_before_the_first_image(endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    """A Keystone that refuses it is a line of the log, and an error of whoever asks for an image."""
    early = GlanceCatalog(options(auth_url=f"{endpoint}/v3", username="u", password="right"))
    early.log_in()
    logins = Cloud.logins
    assert early.get(ME, "own").id == "own"
    assert Cloud.logins == logins == 1
    early.close()
    assert not caplog.messages
    wrong = GlanceCatalog(options(auth_url=f"{endpoint}/v3", username="u", password="wrong"))
    wrong.log_in()
    assert "The credentials in [glance] are not accepted." in caplog.text
    assert "wrong" not in caplog.text
    with pytest.raises(ServiceUnavailable, match="not accepted"):
        wrong.get(ME, "own")
    wrong.close()


def test_who_sees_what(catalog: GlanceCatalog) -> None:
    for name in ("own", "public", "community"):
        assert catalog.get(ME, name).id == name
    for name in ("private", "shared", "missing"):
        with pytest.raises(NotFound, match=name):
            catalog.get(ME, name)
    assert catalog.get(ADMIN, "private").id == "private"


@pytest.mark.parametrize("status", ["pending", "accepted", "rejected"])
def test_a_member_sees_a_shared_image(catalog: GlanceCatalog, status: str) -> None:
    """By its id in any case, in lists once it is accepted: as in Glance."""
    Cloud.members["shared"] = [{"member_id": "mine", "status": status}]
    Cloud.members["private"] = [{"member_id": "mine", "status": "accepted"}]
    assert catalog.get(ME, "shared").id == "shared"
    assert [image.id for image in catalog.find(ME, "shared")] == (["shared"] if status == "accepted" else [])
    with pytest.raises(NotFound):
        catalog.get(ME, "private")


def test_names_are_found_over_pages(catalog: GlanceCatalog) -> None:
    for number in range(5):
        Cloud.images[f"x{number}"] = body(f"x{number}", name="same", visibility="public")
    Cloud.images["y"] = body("y", name="same thing", visibility="public")
    Cloud.images["z"] = body("z", name="same")
    assert [image.id for image in catalog.find(ME, "same")] == ["x0", "x1", "x2", "x3", "x4"]
    assert catalog.find(ME, "nothing") == []


def test_an_id_is_no_path(catalog: GlanceCatalog) -> None:
    with pytest.raises(NotFound):
        catalog.get(ME, "../images/own?x=1#y")
    assert Cloud.asked == ["/v2/images/..%2Fimages%2Fown%3Fx%3D1%23y"]


@pytest.mark.parametrize("offset", [0, 1, 1 << 20, len(DATA) - 1])
def test_data_are_read_from_an_offset(catalog: GlanceCatalog, offset: int) -> None:
    assert read(catalog, "own", offset) == DATA[offset:]


def test_a_lost_connection_is_taken_up(catalog: GlanceCatalog) -> None:
    Cloud.lose_after = [10, 2_000_000, 1_500_000]
    assert read(catalog, "own") == DATA


def test_a_connection_that_is_lost_again_and_again_is_given_up(catalog: GlanceCatalog) -> None:
    Cloud.lose_after = [0] * 9
    with pytest.raises(ServiceUnavailable, match="middle"):
        read(catalog, "own")


@pytest.mark.parametrize("how", ["ignore_range", "refuse_range"])
def test_a_server_without_ranges_is_read_from_its_beginning(
    catalog: GlanceCatalog, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cloud, how, True)
    for offset in (5, 1 << 20, len(DATA) - 1):
        assert read(catalog, "own", offset) == DATA[offset:]
    with pytest.raises(RangesUnsupported):
        catalog.read("own", 5, 7)


def test_a_reader_may_stop_early(catalog: GlanceCatalog) -> None:
    with catalog.open("own") as pieces:
        assert DATA.startswith(next(pieces))


def test_missing_data(catalog: GlanceCatalog) -> None:
    with pytest.raises(NotFound, match="no data"):
        read(catalog, "missing")


def test_a_cloud_that_is_down(catalog: GlanceCatalog) -> None:
    Cloud.down = True
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        catalog.get(ME, "own")


def test_a_cloud_that_is_not_there() -> None:
    catalog = GlanceCatalog(options(endpoint_override="http://127.0.0.1:9"))
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        catalog.get(ME, "own")
    catalog.close()


def test_wrong_credentials(endpoint: str) -> None:
    catalog = GlanceCatalog(options(auth_url=f"{endpoint}/v3", username="u", password="wrong"))
    with pytest.raises(ServiceUnavailable, match="credentials"):
        catalog.get(ME, "own")
    catalog.close()


@pytest.mark.parametrize("suffix", ["", "/", "/v2", "/v2/"])
def test_an_endpoint_of_its_own_without_keystone(endpoint: str, suffix: str) -> None:
    catalog = GlanceCatalog(options(endpoint_override=endpoint + suffix))
    assert catalog.get(ME, "own").id == "own"
    assert Cloud.asked == ["/v2/images/own"]
    catalog.close()


def test_nothing_given_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError, match="auth_url"):
        GlanceCatalog(options())


def test_no_token_is_logged(catalog: GlanceCatalog, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        read(catalog, "own")
        catalog.get(ME, "own")
    assert TOKEN not in caplog.text
    assert "right" not in caplog.text
