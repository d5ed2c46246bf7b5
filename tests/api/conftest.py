"""The API on a real database with one simulated backend, called through WSGI without a server."""

import json
import shutil
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from falcon import testing

from breezeblock.api.app import make_app
from breezeblock.api.handlers import events
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.context import RequestContext
from breezeblock.db import tables
from breezeblock.images.local import LocalCatalog
from breezeblock.model import clock
from tests import documented
from tests.cloud import Cloud

SIMULATED = "[DEFAULT]\nenabled_backends = one\nosapi_max_request_body_size = 4096\n[one]\nvolume_driver = simulated\n"
LATEST = "3.71"

_NEVER_NULL = {
    "groups": {"status": "available", "group_type_id": "gone", "replication_status": "disabled"},
    "group_snapshots": {"status": "available", "group_id": "gone", "group_type_id": "gone"},
    "volumes": {"size": 1, "status": "available", "attach_status": "detached"},
    "snapshots": {"volume_id": "gone", "volume_size": 1, "status": "available", "progress": "100%"},
    "backups": {"volume_id": "gone", "size": 1, "status": "available", "service": "directory"},
    "attachments": {"attach_mode": "rw", "attach_status": "attached"},
}


@pytest.fixture(autouse=True)
def streams_end(monkeypatch):
    """A stream of events ends when it has told what there is: no test waits for what nobody does."""
    monkeypatch.setattr(events, "LOOK_SECONDS", 0)
    monkeypatch.setattr(events, "STREAM_SECONDS", 0.3)


class Api:
    """A client of the API: `get`, `post`, `put`, `delete` answer `falcon.testing.Result`.

    Each answer is held against the OpenAPI document.
    """

    provokes_defects = False
    """A test that breaks the service, so that it answers 500, says so by True."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.catalog = LocalCatalog(cloud.database, cloud.settings.data_dir / "images")
        cloud.images = self.catalog
        self.app = make_app(cloud.settings, cloud.database, self.catalog)
        self._client = testing.TestClient(self.app)

    def call(self, method, path, body=None, version=LATEST, headers=None, **more):
        headers = {"OpenStack-API-Version": f"volume {version}"} | (headers or {}) if version else headers or {}
        if body is not None:
            more["body"] = body if isinstance(body, (bytes, str)) else json.dumps(body)
            headers = {"Content-Type": "application/json"} | headers
        answer = self._client.simulate_request(method, path, headers=headers, **more)
        if answer.status_code != 500 or not self.provokes_defects:
            documented.check(method, path, more.get("body"), more.get("query_string") or more.get("params"), answer)
        return answer

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body, **more):
        return self.call("POST", path, body, **more)

    def put(self, path, body, **more):
        return self.call("PUT", path, body, **more)

    def delete(self, path, **more):
        return self.call("DELETE", path, **more)

    def insert(self, table, resource_id, **values):
        """A row as it stands when everything went well."""
        row = {
            "id": resource_id,
            "project_id": DEFAULT_PROJECT,
            "user_id": "user",
            "created_at": clock.now(),
            **_NEVER_NULL[table],
            **values,
        }
        if table == "attachments":
            del row["user_id"]
        with self.cloud.database.begin() as connection:
            connection.execute(tables.metadata.tables[table].insert(), row)
        return resource_id

    @contextmanager
    def counted(self):
        """The SQL statements that are executed meanwhile."""
        statements = []

        def note(connection, cursor, statement, *rest):
            statements.append(statement)

        engine = self.cloud.database.engine
        sa.event.listen(engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            sa.event.remove(engine, "before_cursor_execute", note)


class As:
    """An authentication that says who calls; it stands for a Keystone that has confirmed the token."""

    challenge = ""

    def __init__(self, context: RequestContext) -> None:
        self.context = context

    def wrap(self, app):
        return app

    def identify(self, header, project_in_path, request_id):
        return self.context


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A SQLite file with all tables, to copy: making them takes longer than most tests here."""
    directory = tmp_path_factory.mktemp("template")
    Cloud(directory, SIMULATED).close()
    return directory / "breezeblock.db"


@pytest.fixture
def cloud(tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path)
    cloud = Cloud(tmp_path, SIMULATED)
    cloud.leaves_flows = True  # there is no worker
    yield cloud
    cloud.close()


@pytest.fixture
def api(cloud):
    return Api(cloud)


@pytest.fixture
def api_as(cloud, monkeypatch):
    """The API as somebody with these roles in this project calls it."""

    def make(*roles, project=DEFAULT_PROJECT):
        implied = {  # as Keystone's bootstrap has it
            "admin": ("admin", "manager", "member", "reader"),
            "manager": ("manager", "member", "reader"),
            "member": ("member", "reader"),
        }
        context = RequestContext(
            user_id="somebody",
            project_id=project,
            roles=tuple(dict.fromkeys(one for role in roles for one in implied.get(role, (role,)))),
            is_admin="admin" in roles,
            is_service="service" in roles,
        )
        monkeypatch.setattr("breezeblock.api.app.open_authentication", lambda settings: As(context))
        return Api(cloud)

    return make
