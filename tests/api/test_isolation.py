"""Who may do what, and to whose resources: every call of the table with every role, and with another project's ids.

All of it comes from the table of routes, so that a new line is walked too. A failure of one of the first tests here says
what a new line needs: a valid body, the table that its ids are of, or the reason why it needs neither.
"""

import json
import re

import msgspec
import pytest
import sqlalchemy as sa

from breezeblock.api import microversions, routes
from breezeblock.auth import rules
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.db import tables
from breezeblock.model import clock
from tests.api.test_protocol import _valid_body

OWN = "0b3d8b1e-0000-4000-8000-0000000000ab"
"""The id of the caller's resource of each kind, OTHER that of another project's, UNKNOWN nobody's."""
OTHER = "0b3d8b1e-0000-4000-8000-0000000000cd"
UNKNOWN = "0b3d8b1e-0000-4000-8000-0000000000ef"

OWNED = {
    "volumes": "volumes",
    "snapshots": "snapshots",
    "attachments": "attachments",
    "backups": "backups",
    "operations": "operations",
    "os-volume-transfer": "transfers",
    "volume-transfers": "transfers",
    "messages": "messages",
    "groups": "groups",
    "group_snapshots": "group_snapshots",
    "consistencygroups": "groups",
    "cgsnapshots": "group_snapshots",
}
"""What the id of a path is of, by the path's first part: the table of the row that has an owner."""

NOBODYS = {
    "types": "everybody's, or shared with projects by an administrator",
    "os-quota-sets": "the id is a project's, and the policy's target",
    "extensions": "a constant's name",
    "image-cache": "administrators' alone",
    "qos-specs": "administrators' alone",
    "group_types": "everybody's, or shared with projects by an administrator",
    "os-quota-class-sets": "a class's name, and for administrators alone",
    "os-hosts": "administrators' alone",
    "capabilities": "administrators' alone",
    "clusters": "administrators' alone",
    "default-types": "the id is a project's, and for administrators alone",
}
"""The kinds of ids that no project owns, each with why that is safe."""

OPEN = {
    "GET /limits": "the caller's own",
    "GET /os-availability-zone": "what everybody may know",
    "GET /extensions": "what everybody may know",
    "GET /extensions/{id}": "what everybody may know",
    "GET /resource_filters": "what everybody may know",
    "GET /group_types": "as in Cinder, where those that are public are everybody's",
    "GET /group_types/{id}": "as in Cinder, where those that are public are everybody's",
}
"""Calls that ask no rule, each with why."""

OFFERED = {
    "POST /os-volume-transfer/{id}/accept": "made for another project, and opened by its key",
    "POST /volume-transfers/{id}/accept": "made for another project, and opened by its key",
}
"""Calls on what another project owns, each with why."""

NOT_RESOURCES = {
    "image_id": "image services have owners of their own; services.sources asks them",
    "imageRef": "image services have owners of their own; services.sources asks them",
    "instance_uuid": "the compute service's",
    "secondary_backend_id": "a backend's",
}
"""Fields of bodies that look like ids of resources and are none of ours."""

TOLERANT = {
    "POST /groups/action create-from-src": "two sources are refused before they are looked up; test_groups.py asks each",
    "POST /consistencygroups/create_from_src": "the same",
    "POST /volumes/plan": "tells that the create would be refused",
    "POST /volumes/{id}/action os-detach": "as in Cinder, what is not attached is detached",
}
"""Calls that do not refuse an id in their body which nobody has, each with why."""

MAY = {
    rules.READER: {"reader", "member", "manager", "admin"},
    rules.MEMBER: {"member", "manager", "admin"},
    rules.ADMIN: {"admin"},
}
ROLES = ("nobody", "reader", "member", "manager", "service", "admin")


def name_of(route):
    return f"{route.method} {route.path}" + (f" {route.action}" if route.action else "")


def may(role, route):
    return route.policy is None or role in MAY[rules.RULES[route.policy]]


def ask(api, route, resource_id, body=None, **more):
    path = "/v3" + route.path.format(id=resource_id, key="k")
    version = microversions.text(min(route.until, microversions.NEWEST))
    return api.call(route.method, path, body or _valid_body(route), version=version, **more)


def kind_of(route):
    return route.path.split("/")[1]


@pytest.fixture
def everybodys(api):
    """A row of each kind for the caller's project, and for another's."""
    with api.cloud.database.begin() as connection:
        for row_id, project in ((OWN, DEFAULT_PROJECT), (OTHER, "other")):
            for table in {*OWNED.values(), "events"}:
                connection.execute(*insert(tables.metadata.tables[table], row_id, project))


def insert(table, row_id, project):
    known = {
        "id": row_id,
        "project_id": project,
        "volume_id": row_id,
        "resource_id": row_id,
        "status": "available",
        "state": "running",
        "attach_status": "attached" if table.name == "attachments" else "detached",
        "created_at": clock.now(),
    }
    kinds = {int: 1, bool: False, float: 0.0, str: "x"}
    needed = {
        column.name: kinds[column.type.python_type]
        for column in table.c
        if not column.nullable and column.default is None and column.autoincrement is not True
    }
    return table.insert(), needed | {name: value for name, value in known.items() if name in table.c}


def others_rows(api):
    """All that the database holds of the other project's, and how many flows are asked for."""
    with api.cloud.database.read() as connection:
        rows = {
            name: connection.execute(sa.select(table).where(table.c.project_id == "other")).all()
            for name, table in tables.metadata.tables.items()
            if "project_id" in table.c
        }
        return rows, connection.scalar(sa.select(sa.func.count()).select_from(tables.flow_requests))


def test_every_line_is_covered():
    """A new line of the table says whose its ids are, and asks a rule."""
    lines = routes.VOLUME_ROUTES
    kinds = {kind_of(route) for route in lines if "{id}" in route.path}
    assert kinds - OWNED.keys() - NOBODYS.keys() == set(), "add to OWNED the table of the ids, or to NOBODYS why not"
    unruled = {name_of(route) for route in lines if route.policy is None}
    assert unruled - OPEN.keys() == set(), "give the line a rule of auth/rules.py, or add to OPEN why it needs none"
    assert all(table in tables.metadata.tables for table in OWNED.values())


@pytest.mark.parametrize("role", ROLES)
def test_every_line_with_every_role(api_as, everybodys, role):
    """A call that the rule refuses is a 403 whatever it names, another is answered by its handler."""
    api, wrong = api_as(role), []
    before = others_rows(api)
    for route in routes.VOLUME_ROUTES:
        answer = ask(api, route, DEFAULT_PROJECT if kind_of(route) in {"os-quota-sets", "default-types"} else UNKNOWN)
        refused = answer.status_code == 403
        if refused == may(role, route) or answer.status_code >= 500:
            wrong.append((name_of(route), answer.status_code, answer.text))
        if not may(role, route):
            answer = ask(api, route, OTHER)
            if answer.status_code != 403:
                wrong.append((name_of(route), "another project's", answer.status_code, answer.text))
    assert wrong == []
    assert others_rows(api)[0] == before[0]


@pytest.mark.parametrize("role", ["reader", "member", "manager"])
def test_another_projects_id_is_not_found(api_as, everybodys, role):
    """404 on every call and action, in the words for an id that nobody has, and nothing happens."""
    api, wrong, walked = api_as(role), [], 0
    before = others_rows(api)
    for route in routes.VOLUME_ROUTES:
        if "{id}" not in route.path or kind_of(route) not in OWNED or not may(role, route):
            continue
        if name_of(route) in OFFERED:
            continue
        walked += 1
        answer, unknown = ask(api, route, OTHER), ask(api, route, UNKNOWN)
        if answer.status_code != 404 or answer.text.replace(OTHER, UNKNOWN) != unknown.text:
            wrong.append((name_of(route), answer.status_code, answer.text, unknown.text))
    assert wrong == [], "with a 400, add a valid body to _valid_body of test_protocol.py"
    assert walked > (10 if role == "reader" else 40)
    assert others_rows(api) == before


def test_an_administrator_finds_everybodys(api_as, everybodys):
    """The rows of these tests are such that the calls do find them: else a 404 would prove nothing."""
    api, wrong = api_as("admin"), []
    for route in routes.VOLUME_ROUTES:
        if route.method == "GET" and re.fullmatch(r"/[^/]+/\{id\}", route.path) and kind_of(route) in OWNED:
            answer = ask(api, route, OTHER)
            if answer.status_code != 200 or OTHER not in answer.text:
                wrong.append((name_of(route), answer.status_code, answer.text))
    assert wrong == []


def id_fields(kind):
    """The fields of a body's record whose names say that they hold ids, with the records they stand in, outermost first."""
    if isinstance(kind, msgspec.inspect.UnionType):
        for one in kind.types:
            yield from id_fields(one)
    elif isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            if re.search(r"_ids?$|_uuid$|volid$|[rR]ef$|_replica$", field.encode_name):
                yield (field.encode_name,)
            for below in id_fields(field.type):
                yield (field.encode_name, *below)


def bodies_with(route, resource_id):
    """Valid bodies of a route, each with the id in another one of its fields."""
    schema = route.schema_of(min(route.until, microversions.NEWEST)) if route.schema is not None else None
    for field in () if schema is None else id_fields(msgspec.inspect.type_info(schema.record)):
        if field[-1] in NOT_RESOURCES:
            continue
        body = json.loads(json.dumps(_valid_body(route)))
        within = body[route.action] if route.action else body
        for part in field[:-1]:
            within = within.setdefault(part, {})
        within[field[-1]] = [resource_id] if field[-1].endswith("_ids") else resource_id
        yield ".".join(field), body


def test_another_projects_id_in_a_body(api_as, everybodys):
    """Nothing is made of what another project owns: the answer is that for an id which nobody has."""
    api, wrong, walked = api_as("member"), [], 0
    before = others_rows(api)
    for route in routes.VOLUME_ROUTES:
        if not may("member", route):
            continue
        both = zip(bodies_with(route, OTHER), bodies_with(route, UNKNOWN), strict=True)
        for (field, body), (_, body_of_unknown) in both:
            walked += 1
            answer, unknown = ask(api, route, OWN, body), ask(api, route, OWN, body_of_unknown)
            refused = answer.status_code == 404 or (answer.status_code == 400 and OTHER in answer.text)
            if not (refused or name_of(route) in TOLERANT) or answer.text.replace(OTHER, UNKNOWN) != unknown.text:
                wrong.append((name_of(route), field, answer.status_code, answer.text, unknown.text))
    assert wrong == [], "add to NOT_RESOURCES why a field holds no id of ours, or a valid body to _valid_body"
    assert walked > 8
    assert others_rows(api) == before


QUERIES = ("", "all_tenants=1", "all_tenants=1&project_id=other", "project_id=other", f"id={OTHER}", f"marker={OTHER}")


def test_no_list_shows_another_projects(api_as, everybodys):
    api, wrong = api_as("member"), []
    for route in routes.VOLUME_ROUTES:
        if route.method != "GET" or "{" in route.path or not may("member", route):
            continue
        for query in QUERIES:
            answer = ask(api, route, None, query_string=query, headers={"Last-Event-ID": "0"})
            shown = answer.status_code == 200 and OTHER in answer.text
            if shown or answer.status_code >= 500 or (query == "" and answer.status_code != 200):
                wrong.append((name_of(route), query, answer.status_code, answer.text))
    assert wrong == []


def test_the_lists_do_have_them(api_as, everybodys):
    api = api_as("admin")
    for kind in OWNED:
        answer = api.get(f"/v3/{kind}", query_string="all_tenants=1")
        assert OTHER in answer.text, (kind, answer.text)
        assert OWN in answer.text
