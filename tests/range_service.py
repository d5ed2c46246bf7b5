"""An image service as Glance is one, for tests: whole images and ranges over HTTP, and hands to hold them up."""

import http.server
import json
import re
import threading
import time
from pathlib import Path
from typing import Any, Self

PIECE = 256 << 10


class RangeService:
    """Serves images on a loopback port. A context manager."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.files: dict[str, Path] = {}
        self.streams = threading.Event()
        """While it is not set, requests without an end (the one pass) get no bytes; ranges do."""
        self.streams.set()
        self.seconds_a_piece = 0.0
        """How long a stream rests after each 256 KiB."""
        self.hold_at: int | None = None
        """The position in the file from which on streams get no bytes, until it is None."""
        self.status = 200
        """Answered to everything when it is an error."""
        self.range_bytes = 0
        self.ranges = 0
        self.stream_starts: list[int] = []
        self.lock = threading.Lock()
        service = self

        class Handler(_Handler):
            image_service = service

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """What `endpoint_override` names."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, image_id: str, file: Path, disk_format: str, **fields: Any) -> None:
        """A public image with the bytes of a file."""
        self.files[image_id] = file
        self.images[image_id] = {
            "id": image_id,
            "name": image_id,
            "status": "active",
            "visibility": "public",
            "disk_format": disk_format,
            "container_format": "bare",
            "size": file.stat().st_size,
            "owner": "somebody",
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            **fields,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.streams.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    image_service: RangeService

    def do_GET(self) -> None:
        service = self.image_service
        found = re.fullmatch(r"/v2/images/([^/?]+)(/file)?", self.path)
        if service.status != 200:
            self._answer(service.status)
        elif found is None or found[1] not in service.images:
            self._answer(404)
        elif found[2]:
            self._send_file(found[1])
        else:
            self._answer(200, json.dumps(service.images[found[1]]).encode())

    def _answer(self, status: int, body: bytes = b"{}") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, image_id: str) -> None:
        service, file = self.image_service, self.image_service.files[image_id]
        size = file.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-"))
        assert wanted is not None
        start, end = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        with service.lock:
            if wanted[2]:
                service.ranges += 1
                service.range_bytes += end - start + 1
            else:
                service.stream_starts.append(start)
        with file.open("rb") as opened:
            opened.seek(start)
            while start <= end:
                if not wanted[2]:
                    self._rest(image_id, start)
                piece = opened.read(min(PIECE, end - start + 1))
                self.wfile.write(piece)
                start += len(piece)

    def _rest(self, image_id: str, position: int) -> None:
        service = self.image_service
        threading.Event().wait(service.seconds_a_piece)
        while not service.streams.wait(0.05) or (service.hold_at is not None and position >= service.hold_at):
            if service.status != 200:
                break
            time.sleep(0.05)
        if service.status != 200 or image_id not in service.images:
            raise ConnectionAbortedError

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True  # the client has gone, or shall think that we have

    def log_message(self, format: str, *args: Any) -> None:
        pass
