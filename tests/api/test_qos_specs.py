"""QoS specs, as Cinder answers them."""

import pytest

from tests.api.test_volumes import message


@pytest.fixture
def specs(api):
    body = {"name": " gold ", "consumer": "front-end", "read_iops_sec": "2000"}
    result = api.post("/v3/qos-specs", {"qos_specs": body})
    assert result.status_code == 200
    return result.json["qos_specs"]


@pytest.fixture
def type_id(api):
    return api.post("/v3/types", {"volume_type": {"name": "golden"}}).json["volume_type"]["id"]


def test_a_life(api, specs):
    path = f"/v3/qos-specs/{specs['id']}"
    assert specs == {"id": specs["id"], "name": "gold", "consumer": "front-end", "specs": {"read_iops_sec": "2000"}}
    shown = api.get(path).json
    assert shown["qos_specs"] == specs
    assert [link["rel"] for link in shown["links"]] == ["self", "bookmark"]
    changed = api.put(path, {"qos_specs": {"consumer": "both", "total_iops_sec": "5"}})
    assert changed.json == {"qos_specs": {"consumer": "both", "total_iops_sec": "5"}}
    assert api.get("/v3/qos-specs").json == {
        "qos_specs": [specs | {"consumer": "both", "specs": {"read_iops_sec": "2000", "total_iops_sec": "5"}}]
    }
    assert api.put(f"{path}/delete_keys", {"keys": ["total_iops_sec"]}).status_code == 202
    assert api.get(path).json["qos_specs"]["specs"] == {"read_iops_sec": "2000"}
    assert api.delete(path).status_code == 202
    gone = api.get(path)
    assert message(gone, 404) == f"No such QoS spec {specs['id']}."


def test_the_storage_obeys_by_default(api):
    assert api.post("/v3/qos-specs", {"qos_specs": {"name": "n"}}).json["qos_specs"]["consumer"] == "back-end"


def test_keys_are_deleted_all_or_none(api, specs):
    path = f"/v3/qos-specs/{specs['id']}"
    missing = api.put(f"{path}/delete_keys", {"keys": ["read_iops_sec", "x"]})
    assert message(missing, 404) == f"QoS spec {specs['id']} has no spec with key x."
    assert api.get(path).json["qos_specs"]["specs"] == {"read_iops_sec": "2000"}
    assert api.put(f"{path}/delete_keys", {"keys": ["a", "a"]}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"qos_specs": {}},
        {"qos_specs": {"name": " "}},
        {"qos_specs": {"name": "n", "consumer": "nobody"}},
        {"qos_specs": {"name": "n", "x": "y" * 256}},
        {"qos_specs": {"name": "n"}, "more": 1},
    ],
)
def test_bad_bodies(api, body):
    assert api.post("/v3/qos-specs", body).status_code == 400


def test_a_name_is_taken_once(api, specs):
    again = api.post("/v3/qos-specs", {"qos_specs": {"name": "gold"}})
    assert message(again, 409) == "QoS Specs gold already exists."


def test_types_have_them(api, specs, type_id):
    path = f"/v3/qos-specs/{specs['id']}"
    other = api.post("/v3/qos-specs", {"qos_specs": {"name": "other"}}).json["qos_specs"]["id"]
    assert api.get(f"{path}/associate?vol_type_id={type_id}").status_code == 202
    assert api.get(f"{path}/associate?vol_type_id={type_id}").status_code == 202
    assert api.get(f"{path}/associations").json == {
        "qos_associations": [{"association_type": "volume_type", "name": "golden", "id": type_id}]
    }
    assert api.get(f"/v3/types/{type_id}").json["volume_type"]["qos_specs_id"] == specs["id"]
    held = api.get(f"/v3/qos-specs/{other}/associate?vol_type_id={type_id}")
    assert held.status_code == 400
    assert message(held).endswith(f"Type {type_id} is already associated with another qos specs: {specs['id']}")
    used = api.delete(path)
    assert message(used) == "Qos specs still in use."
    assert api.get(f"{path}/disassociate?vol_type_id={type_id}").status_code == 202
    assert api.get(f"{path}/associations").json == {"qos_associations": []}
    api.get(f"{path}/associate?vol_type_id={type_id}")
    assert api.get(f"{path}/disassociate_all").status_code == 202
    assert api.get(f"{path}/associations").json == {"qos_associations": []}
    api.get(f"{path}/associate?vol_type_id={type_id}")
    assert api.delete(f"{path}?force=true").status_code == 202
    assert api.get(f"/v3/types/{type_id}").json["volume_type"]["qos_specs_id"] is None


def test_what_is_not_there(api, specs, type_id):
    nobody = "0b3d8b1e-0000-4000-8000-00000000000f"
    for call in ("associate", "disassociate"):
        assert api.get(f"/v3/qos-specs/{nobody}/{call}?vol_type_id={type_id}").status_code == 404
        assert api.get(f"/v3/qos-specs/{specs['id']}/{call}?vol_type_id={nobody}").status_code == 404
        unnamed = api.get(f"/v3/qos-specs/{specs['id']}/{call}")
        assert message(unnamed) == "Volume Type id must not be None."
    assert api.get(f"/v3/qos-specs/{nobody}/associations").status_code == 404
    assert api.put(f"/v3/qos-specs/{nobody}", {"qos_specs": {"a": "1"}}).status_code == 404


def test_administrators_only(api_as, specs):
    for path in ("", f"/{specs['id']}", f"/{specs['id']}/associations"):
        assert api_as("member").get(f"/v3/qos-specs{path}").status_code == 403


def test_pages(api, specs):
    api.post("/v3/qos-specs", {"qos_specs": {"name": "iron"}})
    first = api.get("/v3/qos-specs?limit=1&sort=name:asc").json
    assert [one["name"] for one in first["qos_specs"]] == ["gold"]
    assert "marker=" in first["qos_specs_links"][0]["href"]
    assert [one["name"] for one in api.get("/v3/qos-specs?consumer=back-end").json["qos_specs"]] == ["iron"]
