"""Lists: filters, order, pages, counts, and what they cost."""

import uuid
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock.config import DEFAULT_PROJECT
from tests.api.conftest import SIMULATED, Api
from tests.cloud import Cloud


def volume_id(number):
    return str(uuid.UUID(int=number))


@pytest.fixture
def volumes(api):
    """Seven volumes: sizes 1 to 7, names d c b a and none, two of another project."""
    for number, name in enumerate(["d", "c", "b", "a", None, "c", "b"], 1):
        api.insert(
            "volumes",
            volume_id(number),
            name=name,
            size=number,
            project_id=DEFAULT_PROJECT if number <= 5 else "other",
            created_at=f"2026-01-{number:02}T00:00:00.000000",
            metadata={"n": str(number), "it's": "x"} if number % 2 else {},
            bootable=number == 3,
            host="h@b#p" if number == 4 else None,
        )
    return api


def sizes(api, query="", version="3.71"):
    answer = api.get(f"/v3/volumes/detail?{query}", version=version)
    assert answer.status_code == 200, answer.text
    return [volume["size"] for volume in answer.json["volumes"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("all_tenants=1", [7, 6, 5, 4, 3, 2, 1]),
        ("all_tenants=0", [5, 4, 3, 2, 1]),
        ("all_tenants=true&project_id=other", [7, 6]),
        ("name=c", [2]),
        ("name=c&all_tenants=1", [6, 2]),
        ("size=3", [3]),
        ("bootable=true", [3]),
        ("bootable=0", [5, 4, 2, 1]),
        ("host=h%40b%23p", [4]),
        ("metadata=" + quote("{'n': '3'}"), [3]),
        ("metadata=" + quote('{"n": "3"}'), [3]),
        ("metadata=" + quote("{'n': '2'}"), []),
        ("metadata=" + quote("{}"), [5, 4, 3, 2, 1]),
        ("sort=size:asc", [1, 2, 3, 4, 5]),
        ("sort=size", [5, 4, 3, 2, 1]),
        ("sort_key=size&sort_dir=asc", [1, 2, 3, 4, 5]),
        ("sort=name:asc", [5, 4, 3, 2, 1]),
        ("sort=name:asc,size:desc&all_tenants=1", [5, 4, 7, 3, 6, 2, 1]),
        ("limit=2", [5, 4]),
        ("limit=0", []),
        ("offset=3", [2, 1]),
        ("limit=1&offset=1", [4]),
        (f"marker={volume_id(4)}", [3, 2, 1]),
        (f"marker={volume_id(4)}&sort=size:asc", [5]),
        (f"marker={volume_id(7)}&sort=name:asc,size:desc&all_tenants=1", [3, 6, 2, 1]),
        ("created_at=gt:2026-01-02T00:00:00", [5, 4, 3]),
        ("created_at=gte:2026-01-02T00:00:00Z,lt:2026-01-04T00:00:00", [3, 2]),
        ("created_at=eq:2026-01-02T02:00:00%2B02:00", [2]),
        ("created_at=neq:2026-01-02", [5, 4, 3, 1]),
        ("name~=B", []),
        ("name~=b", [3]),
    ],
)
def test_filters_and_order(volumes, query, found):
    if "~=B" in query and volumes.cloud.database.is_sqlite:
        found = [3]  # SQLite's LIKE passes over the case of ASCII
    assert sizes(volumes, query) == found


def test_a_like_filter_takes_its_words_as_they_are(volumes):
    volumes.insert("volumes", volume_id(8), name="50%_x", size=8, created_at="2026-01-08T00:00:00.000000")
    assert sizes(volumes, "name~=" + quote("%")) == [8]
    assert sizes(volumes, "name~=_") == [8]


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=x",
        "offset=-1",
        "offset=99999999999",
        "sort=size:up",
        "sort=nothing",
        "sort=size&sort_key=id",
        "colour=red",
        "bootable=perhaps",
        "size=big",
        "metadata=x",
        "metadata=[1]",
        "created_at=about:2026-01-01",
        "created_at=gt:then",
        "name=%00",
        "all_tenants=perhaps",
        "with_count=perhaps",
        "metadata=" + quote("{'\"': 1}"),
    ],
)
def test_wrong_parameters(volumes, query):
    answer = volumes.get(f"/v3/volumes/detail?{query}")
    assert answer.status_code == 400, answer.text


def test_what_is_not_there_in_this_version_is_passed_over(volumes):
    assert sizes(volumes, "colour=red", version="3.30") == [5, 4, 3, 2, 1]
    assert sizes(volumes, "created_at=gt:2026-01-02T00:00:00", version="3.30") == [5, 4, 3, 2, 1]
    assert "count" not in volumes.get("/v3/volumes?with_count=true", version="3.44").json
    assert volumes.get("/v3/volumes?name~=b", version="3.33").status_code == 400


def test_an_unknown_marker_is_not_found(volumes):
    assert volumes.get(f"/v3/volumes?marker={volume_id(99)}").status_code == 404


def test_admin_filters_are_not_for_everybody(api_as):
    assert api_as("member").get("/v3/volumes?host=x").status_code == 400
    assert api_as("member").get("/v3/volumes?all_tenants=1").json["volumes"] == []


def test_count(volumes):
    answer = volumes.get("/v3/volumes?limit=2&with_count=true&all_tenants=1").json
    assert (len(answer["volumes"]), answer["count"]) == (2, 7)
    assert "count" not in volumes.get("/v3/volumes?with_count=false").json


@pytest.mark.parametrize("path", ["volumes", "volumes/detail"])
def test_following_the_links_sees_each_once(volumes, path):
    seen, query, pages = [], "limit=2&sort=name:asc&all_tenants=1", 0
    while query is not None:
        answer = volumes.get(f"/v3/{DEFAULT_PROJECT}/{path}?{query}").json
        seen += [volume["id"] for volume in answer["volumes"]]
        pages += 1
        link = answer.get("volumes_links")
        if link:
            assert link[0]["rel"] == "next"
            parts = urlsplit(link[0]["href"])
            assert parts.path == f"/v3/{DEFAULT_PROJECT}/{path}"
            assert parse_qs(parts.query)["sort"] == ["name:asc"]
        query = urlsplit(link[0]["href"]).query if link else None
    assert sorted(seen) == [volume_id(number) for number in range(1, 8)]
    assert pages == 4


@pytest.mark.parametrize(
    ("path", "most"),
    [("volumes", 1), ("volumes/detail", 3), ("snapshots/detail", 1), ("backups/detail", 1), ("attachments/detail", 1)],
)
def test_a_list_costs_a_fixed_number_of_statements(api, path, most):
    def fill(numbers):
        for number in numbers:
            one = volume_id(number)
            api.insert("volumes", one, attach_status="attached")
            api.insert("attachments", one, volume_id=one)
            api.insert("snapshots", one)
            api.insert("backups", one)

    def cost():
        with api.counted() as statements:
            answer = api.get(f"/v3/{path}")
        assert answer.status_code == 200
        return len(statements), len(next(iter(answer.json.values())))

    fill(range(1, 4))
    few, shown = cost()
    fill(range(4, 60))
    many, all_shown = cost()
    assert (shown, all_shown) == (3, 59)
    assert few == many <= most


def test_a_list_on_both_databases(tmp_path, database_url):
    """Members of JSON, order with nulls and pages mean the same on SQLite and PostgreSQL."""
    cloud = Cloud(tmp_path, SIMULATED, database_url)
    api = Api(cloud)
    for number, name in enumerate(["b", None, "a", "c"], 1):
        api.insert("volumes", volume_id(number), name=name, size=number, metadata={"n": str(number), "a.b": "x"})
    assert sizes(api, "sort=name:asc") == [2, 3, 1, 4]
    assert sizes(api, f"sort=name:desc&marker={volume_id(1)}") == [3, 2]
    assert sizes(api, f"sort=name:desc,size:asc&marker={volume_id(1)}") == [3, 2]
    assert sizes(api, "metadata=" + quote("{'n': '3', 'a.b': 'x'}")) == [3]
    assert sizes(api, "name~=a") == [3]
    assert api.get("/v3/volumes/summary").json["volume-summary"]["total_size"] == 10
    cloud.close()


words = st.text(max_size=20) | st.sampled_from(["true", "{'a': 'b'}", "gt:2026-01-01", "size:asc", "1", "-1", "id"])
names = st.text(max_size=12) | st.sampled_from(
    "limit offset marker sort sort_key sort_dir with_count all_tenants name name~ status metadata bootable size "
    "created_at updated_at consumes_quota glance_metadata migration_status availability_zone".split()
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.lists(st.tuples(names, words), max_size=5), version=st.integers(0, 71))
def test_no_query_is_a_defect(volumes, query, version):
    text = "&".join(f"{quote(key)}={quote(value)}" for key, value in query)
    for path in ("volumes/detail", "snapshots", "types", "volumes/summary", "operations"):
        answer = volumes.get(f"/v3/{path}?{text}", version=f"3.{version}")
        assert answer.status_code in {200, 400, 404}, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "volumes/detail?limit=50",
        "volumes/detail?limit=50&name=v7",
        "volumes/detail?limit=50&status=error",
        "volumes/detail?limit=50&sort=name:asc",
        f"volumes/detail?limit=50&marker={volume_id(7)}",
        f"volumes/detail?limit=50&sort=name:desc&marker={volume_id(7)}",
        "volumes/detail?limit=50&all_tenants=1",
        "volumes/detail?limit=50&all_tenants=1&status=error",
        "volumes/detail?limit=50&all_tenants=1&name=v7",
        "volumes/detail?limit=50&all_tenants=1&project_id=p",
        "snapshots/detail?limit=50",
        "snapshots/detail?limit=50&sort=name:asc",
        "snapshots/detail?limit=50&status=error",
        "snapshots/detail?limit=50&all_tenants=1",
        f"snapshots/detail?limit=50&volume_id={volume_id(7)}",
        "attachments?limit=50",
        f"attachments?limit=50&instance_id={volume_id(7)}",
        f"attachments?limit=50&volume_id={volume_id(7)}&all_tenants=1",
        "os-volume-transfer",
    ],
)
def test_a_common_list_is_read_by_an_index(api, path):
    """No list of these walks a table: how many rows there are does not matter."""
    for kind in ("volumes", "snapshots", "attachments"):
        more = {"volume_id": volume_id(7)} if kind == "attachments" else {"name": "v7"}
        api.insert(kind, volume_id(7), **more)
    plans = []

    def explain(connection, cursor, statement, parameters, *rest):
        if statement.startswith("SELECT") and " LIMIT " in statement:
            explained = connection.connection.cursor()
            explained.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[-1] for row in explained.fetchall())

    engine = api.cloud.database.engine
    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        assert api.get(f"/v3/{path}").status_code == 200
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    assert plans
    assert all("USING INDEX" in line or "USING COVERING INDEX" in line for line in plans if "TEMP B-TREE" not in line)
    walked = [line for line in plans if line.startswith("SCAN")]
    assert not walked or ("USING" in walked[0] and "ORDER BY" not in " ".join(plans)), plans


def test_snapshots_by_zone_and_by_name_since_3_30(api):
    api.insert("volumes", volume_id(1), availability_zone="north")
    api.insert("snapshots", volume_id(2), volume_id=volume_id(1), name="b")
    api.insert("snapshots", volume_id(3), name="a")

    def found(query, version="3.71"):
        answer = api.get(f"/v3/snapshots?{query}", version=version)
        return [one["id"] for one in answer.json["snapshots"]] if answer.status_code == 200 else answer.status_code

    assert found("availability_zone=north") == [volume_id(2)]
    assert found("sort=name:asc") == [volume_id(3), volume_id(2)]
    assert found("sort=name:asc", "3.29") == 400
    assert found("sort=display_name:asc", "3.29") == [volume_id(3), volume_id(2)]


def test_a_boolean_is_any_word_before_3_2(volumes):
    assert sizes(volumes, "bootable=perhaps", version="3.1") == [3]
    assert sizes(volumes, "bootable=FALSE", version="3.1") == [5, 4, 2, 1]
    assert sizes(volumes, "bootable=yes") == [3]
