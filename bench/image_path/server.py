"""An image service that only sends: `GET /v2/images/NAME/file`, whole or by ranges, with as many bytes a second as told.

    python -m bench.image_path.server DIRECTORY [BYTES_A_SECOND [IMAGE]]     prints its port

It counts what it sends: `GET /sent` answers the number and sets it back. With IMAGE, a record as Glance has it whose
`name` is a file, every name is that image, and `GET /v2/images/NAME` answers the record.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_PIECE = 1 << 20


class Pace:
    """Lets so many bytes a second through, all connections together; 0 is no limit."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = time.monotonic()
        self._lock = threading.Lock()
        self.sent = 0

    def wait(self, length: int) -> None:
        """Return when this many bytes may go."""
        with self._lock:
            self.sent += length
            if not self._rate:
                return
            self._free_at = max(self._free_at, time.monotonic() - 0.02) + length / self._rate
            until = self._free_at
        time.sleep(max(0.0, until - time.monotonic()))

    def counted(self) -> int:
        """What was sent since this was asked last."""
        with self._lock:
            sent, self.sent = self.sent, 0
        return sent


class Handler(BaseHTTPRequestHandler):
    """Answers by sendfile."""

    protocol_version = "HTTP/1.1"
    directory: Path
    pace: Pace
    image: dict[str, Any] | None = None

    def do_GET(self) -> None:
        """An image, a range of it, or the count."""
        if self.path == "/sent":
            body = str(self.pace.counted()).encode()
            self._head(200, len(body))
            self.wfile.write(body)
            return
        name = self.path.split("/")[3]
        if self.image is not None and not self.path.endswith("/file"):
            body = json.dumps(self.image | {"id": name}).encode()
            self._head(200, len(body))
            self.wfile.write(body)
            return
        path = self.directory / (self.image["name"] if self.image is not None else name)
        size = path.stat().st_size
        begin, end, status = 0, size, 200
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end, status = int(first), min(size, int(last) + 1 if last else size), 206
        self._head(status, end - begin)
        with path.open("rb") as file:
            while begin < end:
                length = min(_PIECE, end - begin)
                self.pace.wait(length)
                begin += os.sendfile(self.connection.fileno(), file.fileno(), begin, length)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.flush()

    def handle(self) -> None:
        """A client that goes away in the middle is nothing to tell of."""
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""


def fetch(url: str) -> str:
    """The answer to a GET."""
    with urllib.request.urlopen(url) as answer:
        body: bytes = answer.read()
    return body.decode()


@contextmanager
def running(directory: Path, rate: int = 0, image: Mapping[str, object] | None = None) -> Iterator[str]:
    """The address of one that runs as a process of its own."""
    argv = [sys.executable, "-m", "bench.image_path.server", str(directory), str(rate)]
    if image is not None:
        argv.append(json.dumps(image))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def main() -> None:
    """Serve until killed."""
    Handler.directory = Path(sys.argv[1])
    Handler.pace = Pace(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    Handler.image = json.loads(sys.argv[3]) if len(sys.argv) > 3 else None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
