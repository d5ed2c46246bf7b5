"""Whatever a body holds, the answer is never a defect."""

import json
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock.api import routes

VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.sampled_from(["1", "true", VOLUME, "", " ", "null", "raw", "in-use", "rw", "\0"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def fields(schema):
    """The JSON names of the record that a schema decodes, one level below its envelope."""
    kind = msgspec.inspect.type_info(schema.record)
    found = set()
    pending = [kind]
    while pending:
        one = pending.pop()
        if isinstance(one, msgspec.inspect.StructType):
            found |= {field.encode_name for field in one.fields}
            pending += [field.type for field in one.fields]
        elif isinstance(one, msgspec.inspect.UnionType):
            pending += list(one.types)
    return sorted(found) or ["metadata"]


def schemas_of(route):
    return list(route.schema.values()) if isinstance(route.schema, dict) else [route.schema]


WITH_BODY = [route for route in routes.VOLUME_ROUTES if route.schema is not None]


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path} {route.action or ''}")
def test_no_body_is_a_defect(api, route):
    names = sorted({name for schema in schemas_of(route) for name in fields(schema)})
    api.insert("volumes", VOLUME, status="error")  # nothing waits for a worker, which is not there
    api.insert("snapshots", VOLUME)
    api.insert("backups", VOLUME)
    content = st.dictionaries(st.sampled_from(names) | st.text(max_size=8), values, max_size=5) | values
    outer = st.sampled_from(names)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=content, key=outer, raw=st.binary(max_size=40) | st.none(), version=st.sampled_from([0, 27, 53, 71]))
    def attempt(content, key, raw, version):
        body = {route.action: content} if route.action else {key: content}
        path = "/v3" + route.path.format(id=VOLUME, key="k")
        asked = f"3.{max(version, route.since)}"
        answer = api.call(route.method, path, raw if raw is not None else json.dumps(body), version=asked)
        assert answer.status_code < 500, answer.text

    attempt()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(max_size=20), header=st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=20)
)
def test_no_path_and_no_header_is_a_defect(api, name, header):
    for path in (f"/v3/volumes/{quote(name, safe='')}", f"/v3/{quote(name, safe='')}/types/x", f"/{quote(name)}"):
        answer = api.get(path, version=None, headers={"OpenStack-API-Version": f"volume {header}"})
        assert answer.status_code < 500, answer.text
