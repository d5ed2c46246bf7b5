"""Calls that schemathesis makes up of the OpenAPI document: nothing is a defect, and no answer is undocumented.

What it makes up names things that are there as often as not, so that more is reached than what is not found. Each part
of the operations has a service of its own, whose rows are put back before each operation. The choices are the same in
every run.
"""

import json
import re
from types import SimpleNamespace

import pytest
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from breezeblock.api.handlers import operations
from breezeblock.api.openapi import served
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.db import tables
from breezeblock.db.services import VOLUME_BINARY
from breezeblock.model import clock
from breezeblock.services import attachments
from tests import documented
from tests.api.conftest import SIMULATED, Api
from tests.api.test_isolation import OWN, OWNED, insert
from tests.cloud import Cloud

PARTS = 6
EXAMPLES = 4

IDS = dict.fromkeys([*OWNED, "types", "qos-specs", "group_types", "image-cache"], OWN) | {
    "os-quota-sets": DEFAULT_PROJECT,
    "os-quota-class-sets": "default",
    "default-types": DEFAULT_PROJECT,
    "extensions": "backups",
    "os-hosts": "localhost@one",
    "capabilities": "localhost@one",
    "clusters": "one",
}
"""What is there, by the first part of a path."""

FIELDS = {
    **dict.fromkeys("volume_id volume_uuid snapshot_id source_volid source_replica backup_id group_id".split(), OWN),
    **dict.fromkeys("consistencygroup_id source_group_id group_snapshot_id cgsnapshot_id source_cgid".split(), OWN),
    **dict.fromkeys("attachment_id add_volumes remove_volumes new_volume resource_id vol_type_id".split(), OWN),
    **dict.fromkeys("volume_type new_type group_type project".split(), OWN),
    "volume_types": [OWN],
    "host": "localhost@one",
    "binary": VOLUME_BINARY,
}
"""What is there, by the fields of bodies and parameters that name it."""

PATHS = sorted(served.published()["paths"])


def fill(connection):
    """A row of each kind, with what its JSON columns hold when they hold something."""
    for name in sorted({*OWNED.values(), "events", "qos_specs", "volume_types", "group_types"}):
        table = tables.metadata.tables[name]
        statement, row = insert(table, OWN, DEFAULT_PROJECT)
        texts = {column: {"k": "v"} for column in ("metadata", "extra_specs", "group_specs", "specs")}
        known = {**texts, "state": "succeeded", "volume_type_ids": [OWN], "consumer": "back-end", "name": "x"}
        connection.execute(statement, row | {key: value for key, value in known.items() if key in table.c})
    service, row = insert(tables.metadata.tables["services"], OWN, DEFAULT_PROJECT)
    now = {"started_at": clock.now(), "updated_at": clock.now()}
    connection.execute(service, row | now | {"host": "localhost@one", "binary": VOLUME_BINARY})
    connection.execute(
        tables.metadata.tables["image_cache_entries"].insert(),
        {
            "backend": "localhost@one",
            "image_id": OWN,
            "image_updated_at": "",
            "volume_id": OWN,
            "size": 1,
            "last_used": "",
        },
    )


class World:
    """A service with something of everything."""

    def __init__(self, cloud):
        self.api = Api(cloud)
        self._database = cloud.database
        with self._database.begin() as connection:
            fill(connection)
            self._rows = {
                table: [dict(row._mapping) for row in connection.execute(sa.select(table))]
                for table in tables.metadata.sorted_tables
            }

    def restore(self):
        """Put all rows back."""
        with self._database.begin() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                connection.execute(table.delete())
            for table, rows in self._rows.items():
                if rows:
                    connection.execute(table.insert(), rows)


@pytest.fixture
def world(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(attachments, "WAIT_SECONDS", 0)
    monkeypatch.setattr(operations, "LOOK_SECONDS", 0)
    cloud = Cloud(tmp_path, SIMULATED, database_url=database_url)
    cloud.leaves_flows = True  # there is no worker
    yield World(cloud)
    cloud.close()


def naming_what_is_there(value):
    """What was made up, with its ids replaced by those of rows."""
    if isinstance(value, dict):
        return {
            key: FIELDS[key] if key in FIELDS and isinstance(one, str | list) else naming_what_is_there(one)
            for key, one in value.items()
        }
    return [naming_what_is_there(one) for one in value] if isinstance(value, list) else value


def path_there(operation):
    """The path's parameters that name what is there."""
    kind = operation.path.split("/")[1]
    known = {"id": IDS.get(kind, OWN), "key": "k"}
    return {name: known[name] for name in re.findall(r"{(\w+)}", operation.path)}


def named(case):
    """The same call, on what is there."""
    case.body, case.query = naming_what_is_there(case.body), naming_what_is_there(case.query)
    return case


def examples_of(operation):
    """How many calls are made up: some for each action."""
    body = operation.definition.raw.get("requestBody", {}).get("content", {}).get("application/json", {})
    return EXAMPLES * max(1, len(body.get("schema", {}).get("oneOf", ())) // 2)


def attempt(operation):
    """Some calls of an operation on what is there, and some on whatever."""
    hold(operation, operation.as_strategy(path_parameters=path_there(operation)).map(named), examples_of(operation))
    hold(operation, operation.as_strategy(), EXAMPLES // 2)


def hold(operation, cases, examples):
    """Hold what the calls are answered against the document, by schemathesis and by the tests' own eyes."""
    waits = "500" in operation.definition.raw["responses"]  # for a worker, of which there is none
    checks = [status_code_conformance, response_headers_conformance]
    if not operation.path.endswith("/action"):  # whose body depends on the action; `documented` looks at that
        checks += [content_type_conformance, response_schema_conformance]

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def call(case):
        answer = case.call_and_validate(checks=checks)
        assert answer.status_code < 500 or (answer.status_code == 503 and waits), answer.text
        path, _, query = answer.request.url.partition("://")[2].partition("/")[2].partition("?")
        told = SimpleNamespace(
            status_code=answer.status_code,
            headers={name: values[0] for name, values in answer.headers.items()},
            content=answer.content,
            text=answer.text,
            json=json.loads(answer.content) if answer.content[:1] in (b"{", b"[") else None,
        )
        documented.check(answer.request.method, f"/{path}", answer.request.body, query, told)

    call()


@pytest.mark.parametrize("part", range(PARTS))
def test_no_answer_is_undocumented(world, part):
    schema = schemathesis.openapi.from_wsgi("/v3/openapi.json", world.api.app)
    wrong = []
    for found in schema.get_all_operations():
        operation = found.ok()
        if PATHS.index(operation.path) % PARTS != part:
            continue
        world.restore()
        try:
            attempt(operation)
        except Exception as error:
            wrong.append(f"{operation.method.upper()} {operation.path}: {error!r}"[:3000])
    assert wrong == [], "\n\n".join(wrong)
