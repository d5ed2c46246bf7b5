"""A small client of the Block Storage and Image APIs: one kept connection, JSON in and out, and waiting."""

import http.client
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

MICROVERSION = "3.60"
TIMEOUT_SECONDS = 300.0
FIRST_POLL_SECONDS = 0.005
LAST_POLL_SECONDS = 0.05
POLL_GROWTH = 1.2
"""What takes 100 ms is seen to within 20 ms, and still nobody is asked more than some times."""
KEEP_SECONDS = 1.0
"""A connection idle for longer is opened anew: servers close theirs after two seconds or more."""


class ApiError(Exception):
    """The server refused a request, or a resource went to an error state, or did not get where it should in time."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is and how to be let in. `volumes` ends with /v3 or /v3/PROJECT, `images` with /v2."""

    volumes: str
    token: str | None = None
    images: str | None = None


class Client:
    """One connection to a server. Not for several threads at once: `another` opens a second one."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._used = 0.0

    def another(self) -> "Client":
        """A client of the same server with a connection of its own."""
        return Client(self.endpoint)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        for connection in self._connections.values():
            connection.close()

    def get(self, path: str) -> Any:
        """The body of a Block Storage resource; None where it does not exist."""
        return self._request("GET", self.endpoint.volumes + path)

    def get_bytes(self, path: str) -> bytes:
        """The body of a Block Storage resource as it came, so that parsing it costs the client nothing."""
        return self._send("GET", self.endpoint.volumes + path)

    def create(self, kind: str, **fields: Any) -> str:
        """Make a `volume`, `snapshot` or `attachment` and return its id."""
        made: str = self._request("POST", f"{self.endpoint.volumes}/{kind}s", {kind: fields})[kind]["id"]
        return made

    def create_volume(self, size: int = 1, **fields: Any) -> str:
        """Make a volume of so many GiB and return its id."""
        return self.create("volume", size=size, name=f"bench-{uuid.uuid4().hex[:8]}", **fields)

    def create_type(self, name: str, extra_specs: dict[str, str]) -> str:
        """Make a volume type and return its id."""
        fields = {"name": name, "extra_specs": extra_specs}
        made: str = self._request("POST", f"{self.endpoint.volumes}/types", {"volume_type": fields})["volume_type"][
            "id"
        ]
        return made

    def attach(self, volume_id: str, connector: dict[str, str]) -> tuple[str, dict[str, Any]]:
        """Connect a volume; the attachment's id and its connection_info."""
        fields = {"volume_uuid": volume_id, "connector": connector}
        made = self._request("POST", f"{self.endpoint.volumes}/attachments", {"attachment": fields})["attachment"]
        return made["id"], made["connection_info"]

    def wait_until_idle(self, volume_id: str) -> None:
        """Wait until no operation of a volume is under way. Raises `ApiError` when one failed."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            states = {one["state"] for one in self.get(f"/operations?resource_id={volume_id}")["operations"]}
            if "failed" in states:
                raise ApiError(f"an operation of volume {volume_id} failed")
            if states <= {"succeeded"}:
                return
            time.sleep(LAST_POLL_SECONDS)
        raise ApiError(f"volume {volume_id} does not come to rest")

    def extend(self, volume_id: str, size: int) -> None:
        """Ask for a volume to grow to so many GiB."""
        self._request("POST", f"{self.endpoint.volumes}/volumes/{volume_id}/action", {"os-extend": {"new_size": size}})

    def delete(self, kind: str, resource_id: str) -> None:
        """Ask for the deletion of a resource."""
        self._request("DELETE", f"{self.endpoint.volumes}/{kind}s/{resource_id}")

    def wait_available(self, kind: str, resource_id: str, longest_pause: float = LAST_POLL_SECONDS) -> None:
        """Wait until the resource is `available`, looking every `longest_pause` seconds in the end. Raises `ApiError` for an
        error state."""
        self._wait(kind, resource_id, gone=False, longest_pause=longest_pause)

    def wait_gone(self, kind: str, resource_id: str) -> None:
        """Wait until the resource no longer exists. Raises `ApiError` for an error state."""
        self._wait(kind, resource_id, gone=True)

    def upload_image(self, file: Path, disk_format: str) -> str:
        """Give the image service a file and return the image's id."""
        images = f"{self.endpoint.images}/images"
        fields = {"name": f"bench-{uuid.uuid4().hex[:8]}", "disk_format": disk_format, "container_format": "bare"}
        image_id: str = self._request("POST", images, fields)["id"]
        with file.open("rb") as content:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
            self._send("PUT", f"{images}/{image_id}/file", content, headers)
        return image_id

    def delete_image(self, image_id: str) -> None:
        """Remove an image from the image service."""
        self._request("DELETE", f"{self.endpoint.images}/images/{image_id}")

    def _wait(self, kind: str, resource_id: str, gone: bool, longest_pause: float = LAST_POLL_SECONDS) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        pause = FIRST_POLL_SECONDS
        while time.monotonic() < deadline:
            body = self.get(f"/{kind}s/{resource_id}")
            if body is None:
                if gone:
                    return
                raise ApiError(f"{kind} {resource_id} is gone")
            status = body[kind]["status"]
            if status == "available" and not gone:
                return
            if status.startswith("error"):
                raise ApiError(f"{kind} {resource_id} is in state {status}")
            time.sleep(pause)
            pause = min(pause * POLL_GROWTH, longest_pause)
        raise ApiError(f"{kind} {resource_id} is still not {'gone' if gone else 'available'}")

    def _request(self, method: str, url: str, body: Any = None) -> Any:
        content = None if body is None else msgspec.json.encode(body)
        answer = self._send(method, url, content, {"Content-Type": "application/json"} if content else {})
        return msgspec.json.decode(answer) if answer else None

    def _send(self, method: str, url: str, content: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """Send a request and return the answer's body, empty for 404. Raises `ApiError` for any other refusal."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection = self._connection(parts.scheme, parts.netloc)
        connection.request(method, target, content, {**self._headers(), **(headers or {})})
        response = connection.getresponse()
        answer = response.read()
        self._used = time.monotonic()
        if response.status == http.HTTPStatus.NOT_FOUND and method != "POST":
            return b""
        if response.status >= 300:
            raise ApiError(f"{method} {url}: {response.status} {answer[:300].decode(errors='replace')}")
        return answer

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if time.monotonic() - self._used > KEEP_SECONDS:
            self.close()
        if netloc not in self._connections:
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            self._connections[netloc] = kind(netloc, timeout=TIMEOUT_SECONDS)
        return self._connections[netloc]

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "OpenStack-API-Version": f"volume {MICROVERSION}"}
        if self.endpoint.token:
            headers["X-Auth-Token"] = self.endpoint.token
        return headers


def log_in(auth_url: str, user: str, password: str, project: str, service_type: str = "volumev3") -> Endpoint:
    """The endpoints in Keystone's catalog and a token, for a user of the default domain. Raises `ApiError`."""
    domain = {"id": "default"}
    identity = {"methods": ["password"], "password": {"user": {"name": user, "password": password, "domain": domain}}}
    body = {"auth": {"identity": identity, "scope": {"project": {"name": project, "domain": domain}}}}
    parts = urlsplit(auth_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_SECONDS)
    content = msgspec.json.encode(body)
    connection.request("POST", f"{parts.path}/auth/tokens", content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status != http.HTTPStatus.CREATED:
        raise ApiError(f"No token from {auth_url}: {response.status} {answer[:300].decode(errors='replace')}")
    urls = {
        service["type"]: endpoint["url"].rstrip("/")
        for service in msgspec.json.decode(answer)["token"]["catalog"]
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public"
    }
    if service_type not in urls:
        raise ApiError(f"The catalog at {auth_url} has no {service_type}.")
    images = f"{urls['image'].removesuffix('/v2')}/v2" if "image" in urls else None
    return Endpoint(volumes=urls[service_type], token=response.headers["X-Subject-Token"], images=images)
