"""What holds for every call: versions, faults, bodies, paths, who may."""

import logging

import pytest

from breezeblock.api import microversions, routes
from breezeblock.auth import rules
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.errors import InvalidInput, VersionNotSupported


def fault(answer):
    """The fault's key, code and message."""
    ((key, content),) = answer.json.items()
    assert content["code"] == answer.status_code
    return key, content["code"], content["message"]


@pytest.mark.parametrize(("path", "status"), [("/", 300), ("/v3", 200), ("/v3/", 200)])
def test_version_documents_need_no_authentication(api_as, path, status):
    answer = api_as("nobody").get(path, version=None)
    (version,) = answer.json["versions"]
    assert answer.status_code == status
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.71")
    assert version["status"] == "CURRENT"
    assert set(version) == {"id", "status", "version", "min_version", "updated", "links", "media-types"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_no_id_is_not_found(api, method):
    """A client that puts an empty id into its path asks for nothing that is there (Tempest does)."""
    answer = api.call(method, "/v3/volumes/", {})
    assert (answer.status_code, *fault(answer)[:2]) == (404, "itemNotFound", 404)


def test_links_go_where_the_request_came_to(api):
    answer = api.get("/v3", version=None, protocol="https", host="cinder.example")
    assert answer.json["versions"][0]["links"][1]["href"] == "https://cinder.example/v3/"


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (None, 0),
        ("volume 3.0", 0),
        ("volume 3.71", 71),
        ("volume latest", 71),
        ("compute 2.1", 0),
        ("compute 2.1, volume 3.27", 27),
        ("  volume   3.5 ", 5),
    ],
)
def test_versions_asked_for(header, version):
    assert microversions.requested(header) == version


@pytest.mark.parametrize("version", ["3.72", "2.0", "4.0", "3.99999"])
def test_versions_out_of_range(api, version):
    with pytest.raises(VersionNotSupported):
        microversions.requested(f"volume {version}")
    answer = api.get("/v3/volumes", version=version)
    assert fault(answer)[:2] == ("computeFault", 406)
    assert "Minimum is 3.0 and maximum is 3.71" in answer.text


@pytest.mark.parametrize(
    "version", ["3", "3.01", "three", "3.-1", "3.1.1", "", "3.9999999999999", "3.\u0661", "3.1\u0661"]
)
def test_versions_that_are_none(version):
    with pytest.raises(InvalidInput):
        microversions.requested(f"volume {version}")


def test_the_answer_says_its_version(api):
    for version, said in [("3.27", "volume 3.27"), ("latest", "volume 3.71"), (None, "volume 3.0")]:
        answer = api.get("/v3/volumes", version=version)
        assert answer.headers["openstack-api-version"] == said
        assert answer.headers["vary"] == "OpenStack-API-Version"
        assert answer.headers["x-openstack-request-id"] == answer.headers["x-compute-request-id"]
        assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize("path", ["/nothing", "/v3/nothing", f"/v3/{DEFAULT_PROJECT}/nothing", "/v2/volumes"])
def test_unknown_paths(api, path):
    assert fault(api.get(path)) == ("itemNotFound", 404, "The resource could not be found.")


def test_unknown_methods(api):
    assert fault(api.call("PATCH", "/v3/volumes", {}))[:2] == ("badMethod", 405)


def test_calls_are_there_from_their_version_on(api):
    assert api.get("/v3/attachments", version="3.26").status_code == 404
    assert api.get("/v3/attachments", version="3.27").status_code == 200
    assert api.get("/v3/volumes/summary", version="3.11").status_code == 404
    assert api.get("/v3/volumes/summary", version="3.12").status_code == 200


def test_every_path_with_project_and_without(api):
    volume = api.insert("volumes", "0b3d8b1e-0000-4000-8000-000000000001")
    for prefix in ("/v3", f"/v3/{DEFAULT_PROJECT}"):
        shown = api.get(f"{prefix}/volumes/{volume}").json["volume"]
        assert shown["links"][0]["href"].endswith(f"{prefix}/volumes/{volume}")
        assert shown["links"][1]["href"].endswith(f"{prefix.removeprefix('/v3')}/volumes/{volume}")
        assert api.get(f"{prefix}/volumes").json["volumes"][0]["id"] == volume


@pytest.mark.parametrize(
    ("body", "status", "key"),
    [
        (b"", 400, "badRequest"),
        (b"{", 400, "badRequest"),
        (b"[]", 400, "badRequest"),
        (b"null", 400, "badRequest"),
        (b'"text"', 400, "badRequest"),
        (b"{}", 400, "badRequest"),
        (b'{"volume": null}', 400, "badRequest"),
        (b'{"volume": {"size": 1}, "more": 1}', 400, "badRequest"),
        (b"\xff\xfe", 400, "badRequest"),
        (b'{"volume": {"name": "\\ud800", "size": 1}}', 400, "badRequest"),
        (b'{"volume": {"name": "\\u0000", "size": 1}}', 400, "badRequest"),
        (b"[" * 4000, 400, "badRequest"),
        (b'{"volume": {"x": ' + b"[" * 4000, 400, "badRequest"),
        (b" " * 5000, 413, "overLimit"),
    ],
)
@pytest.mark.parametrize("version", ["3.0", "3.71"])
def test_broken_bodies(api, body, status, key, version):
    answer = api.post("/v3/volumes", body, version=version)
    assert fault(answer)[:2] == (key, status), answer.text


def test_a_chunked_body_counts_too(api):
    answer = api.post("/v3/volumes", b" " * 5000, headers={"Transfer-Encoding": "chunked", "Content-Length": "5000"})
    assert fault(answer)[:2] == ("overLimit", 413)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "multipart/form-data"])
def test_other_media_types(api, media_type):
    answer = api.post("/v3/volumes", {"volume": {"size": 1}}, headers={"Content-Type": media_type})
    assert fault(answer)[:2] == ("badMediaType", 415)


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_by_all_its_names(api, media_type):
    answer = api.post("/v3/volumes", {"volume": {"size": 1}}, headers={"Content-Type": media_type})
    assert answer.status_code == 202


def test_a_wrong_field_is_named(api):
    def message(volume, version="3.71"):
        return fault(api.post("/v3/volumes", {"volume": volume}, version=version))[2]

    assert message({"size": 0}) == "Invalid input for field/attribute volume.size. Expected `int` >= 1."
    assert message({"size": [1]}).startswith("Invalid input for field/attribute volume.size. Expected `int")
    assert message({"size": 1, "colour": "red"}) == (
        "Invalid input for field/attribute volume. Additional properties are not allowed ('colour' was unexpected)."
    )
    assert "volume.metadata" in message({"size": 1, "metadata": {"k": 1}})


@pytest.mark.parametrize("body", [{}, {"a": 1, "b": 2}, [], "x"])
def test_an_action_has_one_key(api, body):
    volume = api.insert("volumes", "0b3d8b1e-0000-4000-8000-000000000001")
    assert fault(api.post(f"/v3/volumes/{volume}/action", body))[:2] == ("badRequest", 400)


def test_an_unknown_action_is_named(api):
    message = fault(api.post("/v3/volumes/x/action", {"os-fly": None}))[2]
    assert message.startswith("There is no such action: os-fly.")


def test_a_defect_is_logged_with_its_request_and_not_shown(api, monkeypatch, caplog):
    def broken(*_, **__):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("breezeblock.api.listing.page", broken)
    api.provokes_defects = True
    with caplog.at_level(logging.ERROR):
        answer = api.get("/v3/volumes")
    assert fault(answer)[:2] == ("computeFault", 500)
    assert "secret" not in answer.text
    assert answer.headers["x-openstack-request-id"] in caplog.text
    assert "ZeroDivisionError: secret" in caplog.text


def test_a_lost_database_is_503(api):
    api.cloud.database.engine.dispose()
    file = api.cloud.settings.data_dir / "breezeblock.db"
    away = file.rename(file.with_suffix(".away"))
    file.mkdir()
    answer = api.get("/healthcheck", version=None)
    assert fault(answer)[:2] == ("serviceUnavailable", 503)
    file.rmdir()
    away.rename(file)


def test_a_call_by_head_has_the_status_and_no_body(api):
    answer = api.call("HEAD", "/v3/volumes")
    assert (answer.status_code, answer.text) == (200, "")


def test_a_nul_is_refused_wherever_it_stands(api):
    for body in ({"connector": {"host": "a\0b"}}, {"connector": {"a\0": 1}}, {"connector": {"a": [{"b": "\0"}]}}):
        answer = api.put("/v3/attachments/x", {"attachment": body})
        assert "NUL" in fault(answer)[2]
    assert api.put("/v3/attachments/x", {"attachment": {"connector": {"host": "\\u0000"}}}).status_code == 404
    for path in ("/v3/volumes/%00", "/v3/volumes/x/metadata/%00"):
        assert api.get(path).status_code == 404


def test_health(api):
    answer = api.get("/healthcheck", version=None)
    assert (answer.status_code, answer.text) == (200, "OK")


def test_every_rule_of_the_table_is_known():
    asked = {route.policy for route in [*routes.VOLUME_ROUTES, *routes.IMAGE_ROUTES]} - {None}
    assert asked <= set(rules.RULES)


def test_no_two_lines_answer_the_same_call():
    seen = set()
    for route in routes.VOLUME_ROUTES:
        for version in range(route.since, route.until + 1):
            call = (route.method, route.path, route.action, version)
            assert call not in seen
            seen.add(call)


def _valid_body(route):
    uuid = "0b3d8b1e-0000-4000-8000-00000000000f"
    bodies = {
        "/volumes": {"volume": {"size": 1}},
        "/volumes/plan": {"volume": {"size": 1}},
        "/volumes/{id}": {"volume": {"name": "x"}},
        "/snapshots": {"snapshot": {"volume_id": uuid}},
        "/snapshots/{id}": {"snapshot": {"name": "x"}},
        "/types": {"volume_type": {"name": "x"}},
        "/types/{id}": {"volume_type": {"name": "y"}},
        "/types/{id}/extra_specs": {"extra_specs": {"k": "v"}},
        "/types/{id}/extra_specs/{key}": {"k": "v"},
        "/types/{id}/encryption": {"encryption": {"provider": "luks", "control_location": "front-end"}},
        "/types/{id}/encryption/{key}": {"encryption": {"provider": "luks"}},
        "/attachments": {"attachment": {"volume_uuid": uuid}},
        "/attachments/{id}": {"attachment": {"connector": {"host": "h"}}},
        "/backups": {"backup": {"volume_id": uuid}},
        "/backups/{id}": {"backup": {"name": "x"}},
        "/backups/{id}/restore": {"restore": {}},
        "/qos-specs": {"qos_specs": {"name": "x"}},
        "/qos-specs/{id}": {"qos_specs": {"k": "v"}},
        "/qos-specs/{id}/delete_keys": {"keys": ["k"]},
        "/default-types/{id}": {"default_type": {"volume_type": "x"}},
        "/group_types": {"group_type": {"name": "x"}},
        "/group_types/{id}": {"group_type": {"name": "y"}},
        "/group_types/{id}/group_specs": {"group_specs": {"k": "v"}},
        "/group_types/{id}/group_specs/{key}": {"k": "v"},
        "/backups/import_record": {"backup-record": {"backup_service": "x", "backup_url": "e30="}},
        "/groups": {"group": {"group_type": "x", "volume_types": ["x"]}},
        "/groups/{id}": {"group": {"name": "x"}},
        "/group_snapshots": {"group_snapshot": {"group_id": uuid}},
        "/consistencygroups": {"consistencygroup": {"volume_types": "x"}},
        "/consistencygroups/create_from_src": {"consistencygroup-from-src": {"source_cgid": uuid}},
        "/consistencygroups/{id}/update": {"consistencygroup": {"name": "x"}},
        "/consistencygroups/{id}": {"consistencygroup": {"name": "x"}},
        "/consistencygroups/{id}/delete": {"consistencygroup": {"force": True}},
        "/cgsnapshots": {"cgsnapshot": {"consistencygroup_id": uuid}},
        "/os-quota-sets/{id}": {"quota_set": {"volumes": 5}},
        "/os-volume-transfer": {"transfer": {"volume_id": uuid}},
        "/os-volume-transfer/{id}/accept": {"accept": {"auth_key": "x"}},
        "/volume-transfers": {"transfer": {"volume_id": uuid}},
        "/volume-transfers/{id}/accept": {"accept": {"auth_key": "x"}},
        "/os-quota-class-sets/{id}": {"quota_class_set": {"volumes": 5}},
        "/os-services/enable": {"host": "h", "binary": "b"},
        "/os-services/disable": {"host": "h", "binary": "b"},
        "/os-services/disable-log-reason": {"host": "h", "binary": "b", "disabled_reason": "r"},
        "/os-services/freeze": {"host": "h"},
        "/os-services/thaw": {"host": "h"},
        "/os-services/failover_host": {"host": "h"},
        "/os-services/failover": {"host": "h"},
        "/os-services/set-log": {"level": "info", "prefix": "no.such.logger"},
        "/os-services/get-log": {},
        "/clusters/enable": {"name": "c"},
        "/clusters/disable": {"name": "c"},
        "/workers/cleanup": {},
        "/os-volume-manage": {"volume": {"host": "h", "ref": {"source-name": "x"}}},
        "/manageable_volumes": {"volume": {"host": "h", "ref": {"source-name": "x"}}},
        "/os-snapshot-manage": {"snapshot": {"volume_id": uuid, "ref": {"source-name": "x"}}},
        "/manageable_snapshots": {"snapshot": {"volume_id": uuid, "ref": {"source-name": "x"}}},
        "/image-cache": {"prefetch": {"image_id": uuid}},
    }
    actions = {
        "os-extend": {"new_size": 2},
        "os-reset_status": {"status": "error"},
        "os-set_bootable": {"bootable": True},
        "os-update_readonly_flag": {"readonly": True},
        "os-set_image_metadata": {"metadata": {"k": "v"}},
        "os-unset_image_metadata": {"key": "k"},
        "os-volume_upload_image": {"image_name": "x"},
        "os-attach": {"host_name": "h", "mountpoint": "/mnt"},
        "os-detach": {},
        "os-initialize_connection": {"connector": {"host": "h"}},
        "os-terminate_connection": {"connector": None},
        "os-force_detach": {},
        "revert": {"snapshot_id": uuid},
        "os-reimage": {"image_id": uuid},
        "create-from-src": {"source_group_id": uuid},
        "delete": {},
        "reset_status": {"status": "error"},
        "enable_replication": {},
        "disable_replication": {},
        "failover_replication": {},
        "list_replication_targets": {},
        "addProjectAccess": {"project": "p"},
        "removeProjectAccess": {"project": "p"},
        "os-extend_volume_completion": {},
        "os-update_snapshot_status": {"status": "error"},
        "os-retype": {"new_type": "x"},
        "os-migrate_volume": {"host": "here@one#one"},
        "os-migrate_volume_completion": {"new_volume": uuid},
    }
    if route.action is not None:
        return {route.action: actions.get(route.action)}
    if route.path.endswith("/metadata"):
        return {"metadata": {"k": "v"}}
    if route.path.endswith("/metadata/{key}"):
        return {"meta": {"k": "v"}}
    return bodies.get(route.path) if route.schema is not None else None
