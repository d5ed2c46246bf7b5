"""Breezeblock as scenarios call it: API and worker in this process, on a real database and the simulated storage."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from falcon import testing

from breezeblock import config
from breezeblock.api.app import make_app
from breezeblock.auth.authentication import Header
from breezeblock.context import RequestContext
from breezeblock.db import migrate
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput
from breezeblock.images.local import LocalCatalog
from breezeblock.worker import Worker

CONF = """[DEFAULT]
enabled_backends = one
default_volume_type = one
quota_volumes = 100000
quota_snapshots = 100000
quota_gigabytes = 1000000
[one]
volume_driver = simulated
simulated_capacity_gb = 100000
simulated_group_snapshots = true
"""

OWN, OTHER = "11111111111141118111111111111111", "22222222222242228222222222222222"
ROLES = {
    "admin": ("admin", "manager", "member", "reader"),
    "member": ("member", "reader"),
    "reader": ("reader",),
    "other": ("member", "reader"),
}
"""The roles that each caller has, as Keystone's bootstrap implies them."""


class TokenIsRole:
    """An authentication in whose tokens stands who calls; it stands for a Keystone that has confirmed them."""

    challenge = ""

    def wrap(self, app):
        return app

    def identify(self, header: Header, project_in_path: str | None, request_id: str) -> RequestContext:
        role = header("X-Auth-Token") or "reader"
        project = OTHER if role == "other" else OWN
        if project_in_path not in {None, project}:
            raise InvalidInput("Malformed request url")
        return RequestContext(
            user_id=project,
            project_id=project,
            roles=ROLES[role],
            is_admin=role == "admin",
            request_id=request_id,
        )


class Ours:
    """A `caller.Service`."""

    projects: Mapping[str, str] = {"admin": OWN, "member": OWN, "reader": OWN, "other": OTHER}
    pause = 0.005
    patience = 30.0
    image_path = "/image"

    def __init__(self, app) -> None:
        self._client = testing.TestClient(app)

    def send(self, role, method, path, headers, body):
        answer = self._client.simulate_request(method, path, headers={"X-Auth-Token": role} | headers, body=body)
        return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content


@contextmanager
def running(directory: Path, database_url: str | None = None) -> Iterator[Ours]:
    """A whole service that is at work."""
    config.prepare_data_dir(directory)
    (directory / "breezeblock.conf").write_text(CONF)
    settings = config.load(directory, database_url=database_url)
    database = Database(settings.database_url)
    migrate.upgrade(database)
    catalog = LocalCatalog(database, directory / "images")
    worker = Worker(settings, database, catalog, settings.backends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("breezeblock.api.app.open_authentication", lambda settings: TokenIsRole())
        ours = Ours(make_app(settings, database, catalog))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        _make_default_type(ours)
        _wait_for_pools(ours)
        yield ours
    finally:
        worker.stop()
        thread.join()
        database.close()


def _make_default_type(ours: Ours) -> None:
    """The type of the backend, which is everybody's default: so it is with the Cinder that was recorded."""
    body = b'{"volume_type": {"name": "one", "extra_specs": {"volume_backend_name": "one"}}}'
    assert ours.send("admin", "POST", "/v3/types", {"Content-Type": "application/json"}, body)[0] == 200


def _wait_for_pools(ours: Ours) -> None:
    deadline = time.monotonic() + ours.patience
    while b'"pools":[]' in ours.send("admin", "GET", "/v3/scheduler-stats/get_pools", {}, None)[2]:
        assert time.monotonic() < deadline, "no backend reported itself"
        time.sleep(ours.pause)
