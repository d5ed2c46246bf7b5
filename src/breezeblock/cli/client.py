"""How commands talk to the running service: its own API, on this machine."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from breezeblock.config import DEFAULT_PROJECT
from breezeblock.errors import BreezeblockError, NotFound, ServiceUnavailable

MICROVERSION = "3.71"


class Client:
    """The API of the service whose state lies in a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.root = f"http://{_listen(data_dir)}"
        self._project = f"{self.root}/v3/{DEFAULT_PROJECT}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call `path` below the project's URL; the decoded answer. Raises the error that the service answers."""
        request = urllib.request.Request(
            self._project + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "OpenStack-API-Version": f"volume {MICROVERSION}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise _error(error) from error
        except (urllib.error.URLError, OSError) as error:
            raise ServiceUnavailable(f"The service at {self.root} does not answer ({error}); is it running?") from error
        return json.loads(content) if content else None

    def volume_id(self, id_or_name: str) -> str:
        """The id of a volume. Raises `NotFound`, also for a name that several have."""
        try:
            return str(self.call("GET", f"/volumes/{id_or_name}")["volume"]["id"])
        except NotFound:
            listed = self.call("GET", "/volumes?all_tenants=1")["volumes"]
            found = [one["id"] for one in listed if one["name"] == id_or_name]
            if len(found) != 1:
                raise NotFound(f"{len(found)} volumes have the id or name {id_or_name}.") from None
            return str(found[0])


def host_name() -> str:
    """This machine's name, for connectors."""
    return socket.gethostname()


def _listen(data_dir: Path) -> str:
    """The address that `serve` listens on: as it was told, else as the configuration says."""
    try:
        told = json.loads((data_dir / "run" / "serve.json").read_text())["listen"]
    except FileNotFoundError:
        told = None
    if told:
        return str(told)
    from breezeblock import config

    return str(config.load(data_dir).listen)


def _error(error: urllib.error.HTTPError) -> BreezeblockError:
    content = error.read()
    try:
        message = next(iter(json.loads(content).values()))["message"]
    except (ValueError, LookupError, TypeError, StopIteration):
        message = content.decode(errors="replace")[:300] or str(error)
    return NotFound(message) if error.code == 404 else BreezeblockError(message)
