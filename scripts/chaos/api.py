"""Requests of a client that repeats them until they are answered, whatever dies meanwhile."""

import http.client
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from breezeblock.cli.client import MICROVERSION
from breezeblock.config import DEFAULT_PROJECT

ANSWER_SECONDS = 120.0
PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = (0.2, 1.5)


class Refused(Exception):
    """The service said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class NoAnswer(Exception):
    """The API died over a request, or said that it can do nothing now: perhaps it was done, perhaps not."""


class Api:
    """The service's API processes, asked by many threads."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._lock = threading.Lock()
        self.repeated: Counter[str] = Counter()
        self.defects: list[str] = []
        """Answers that no client should ever get."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """What is answered at last. Only for what may be asked twice. Raises `Refused`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.once(method, path, body, **headers)
            except NoAnswer:
                if time.monotonic() > deadline:
                    raise
                with self._lock:
                    self.repeated[method] += 1
                time.sleep(random.uniform(*PAUSE_SECONDS))  # noqa: S311

    def create(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a volume or snapshot, once however often it has to be asked for."""
        return dict(self.call("POST", f"/{kind}", {kind[:-1]: body}, idempotency_key=str(uuid.uuid4()))[kind[:-1]])

    def once(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """What is answered to one request. Raises `Refused`, `NoAnswer`."""
        sent = {"Content-Type": "application/json", "OpenStack-API-Version": f"volume {MICROVERSION}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        status, content = self._send(method, f"/v3/{DEFAULT_PROJECT}{path}", data, sent)
        return self._read(f"{method} {path}", status, content)

    def image(self, name: str, disk_format: str, content: bytes) -> str:
        """Upload an image while nobody kills; its id."""
        wanted = {"name": name, "disk_format": disk_format, "container_format": "bare"}
        status, told = self._send("POST", "/image/v2/images", json.dumps(wanted).encode(), {})
        image_id = str(self._read("POST /images", status, told)["id"])
        headers = {"Content-Type": "application/octet-stream"}
        self._read("PUT /file", *self._send("PUT", f"/image/v2/images/{image_id}/file", content, headers))
        return image_id

    def _send(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        address = random.choice(self._addresses)  # noqa: S311
        connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def _read(self, what: str, status: int, content: bytes) -> Any:
        if status == 503:
            raise NoAnswer(f"{what}: {content.decode(errors='replace')}")
        answer: Any = json.loads(content) if content else None
        if status < 300:
            return answer
        message = str(next(iter(answer.values()))["message"])
        if status >= 500:
            with self._lock:
                self.defects.append(f"{what} was answered {status}: {message}")
        raise Refused(status, message)
