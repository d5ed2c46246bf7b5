"""Services, hosts, pools, capabilities, clusters, zones and filters: what an administrator looks at and switches."""

import logging

import pytest

from breezeblock.db import pools, services
from breezeblock.model import clock
from tests.api.test_volumes import message

NOBODY = "0b3d8b1e-0000-4000-8000-00000000000f"


@pytest.fixture
def backend(api):
    """`host@backend`, reported as a worker does it."""
    own = api.cloud.settings.backends[0]
    with api.cloud.database.begin() as connection:
        for host, binary in (
            (own.backend, "cinder-volume"),
            (own.host, "cinder-scheduler"),
            (own.host, "cinder-backup"),
        ):
            pools.report_service(connection, host, binary, "nova", clock.now())
    return own.backend


def put(api, action, **body):
    return api.put(f"/v3/os-services/{action}", body)


def only(api, query=""):
    return api.get(f"/v3/os-services{query}").json["services"]


def create(api):
    return api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]


def test_a_list_by_host_has_its_backends(api, backend):
    host = backend.partition("@")[0]
    assert [one["binary"] for one in only(api, f"?host={host}")] == [
        "cinder-backup",
        "cinder-scheduler",
        "cinder-volume",
    ]
    assert [one["host"] for one in only(api, f"?host={host}&binary=cinder-volume")] == [backend]
    assert only(api, "?host=loc") == []
    volume = only(api, "?binary=cinder-volume")[0]
    assert {name: volume[name] for name in ("state", "status", "frozen", "replication_status", "cluster")} == {
        "state": "up",
        "status": "enabled",
        "frozen": False,
        "replication_status": "disabled",
        "cluster": None,
    }
    assert "backend_state" not in api.get("/v3/os-services", version="3.48").json["services"][-1]


def test_a_disabled_service_gets_no_new_volumes(api, backend):
    done = put(api, "disable-log-reason", host=backend, binary="cinder-volume", disabled_reason=" repair ")
    assert done.status_code == 200
    assert done.json == {
        "host": backend,
        "service": "",
        "binary": "cinder-volume",
        "status": "disabled",
        "disabled": True,
        "disabled_reason": "repair",
    }
    shown = only(api, "?binary=cinder-volume")[0]
    assert (shown["status"], shown["disabled_reason"], shown["state"]) == ("disabled", "repair", "up")
    zones = api.get("/v3/os-availability-zone").json["availabilityZoneInfo"]
    assert zones == [{"zoneName": "nova", "zoneState": {"available": False}}]
    assert create(api)["status"] == "error"
    plan = api.post("/v3/volumes/plan", {"volume": {"size": 1}}).json["plan"]
    assert "its service is disabled: repair" in plan["reason"]
    enabled = put(api, "enable", host=backend, service="cinder-volume")
    assert enabled.json == {
        "host": backend,
        "service": "cinder-volume",
        "binary": "",
        "status": "enabled",
        "disabled": False,
    }
    assert only(api, "?binary=cinder-volume")[0]["disabled_reason"] is None
    assert create(api)["status"] == "creating"
    assert put(api, "disable", host=backend, binary="cinder-volume").json["disabled"] is True
    assert create(api)["status"] == "error"


def test_freeze_and_thaw(api, backend):
    assert put(api, "freeze", host=backend).status_code == 200
    shown = only(api, "?binary=cinder-volume")[0]
    assert (shown["frozen"], shown["status"], shown["disabled_reason"]) == (True, "disabled", "frozen")
    assert create(api)["status"] == "error"
    assert "must be False" in message(put(api, "freeze", host=backend))
    assert put(api, "thaw", host=backend).status_code == 200
    assert create(api)["status"] == "creating"
    assert "must be True" in message(put(api, "thaw", host=backend))


def test_a_failover_is_asked_of_the_worker(api, backend):
    with api.cloud.database.begin() as connection:
        services.report_replication(connection, backend, True)
    assert only(api, "?binary=cinder-volume")[0]["replication_status"] == "enabled"
    assert put(api, "failover_host", host=backend, backend_id="there").status_code == 202
    shown = only(api, "?binary=cinder-volume")[0]
    assert (shown["replication_status"], shown["active_backend_id"]) == ("failing-over", None)
    assert "failing-over" in message(put(api, "failover", host=backend))
    (operation,) = api.get(f"/v3/operations?resource_id={backend}").json["operations"]
    assert (operation["kind"], operation["resource_type"]) == ("failover_host", "backend")
    with api.cloud.database.begin() as connection:
        done = {"replication_status": "failed-over", "active_backend_id": "there"}
        services.update(connection, backend, "cinder-volume", **done)
        services.report_replication(connection, backend, True)
    shown = only(api, "?binary=cinder-volume")[0]
    assert (shown["replication_status"], shown["active_backend_id"]) == ("failed-over", "there")


def test_a_backend_without_replicas_is_not_failed_over(api, backend):
    for action in ("failover_host", "failover"):
        assert "keeps no replica" in message(put(api, action, host=backend, backend_id="there"))
    assert api.put("/v3/os-services/failover", {"host": backend}, version="3.25").status_code == 404


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("enable", {"host": "nowhere", "binary": "cinder-volume"}, 404),
        ("disable", {"host": "localhost", "binary": "nothing"}, 404),
        ("enable", {"host": "localhost"}, 400),
        ("disable", {"binary": "cinder-volume"}, 400),
        ("disable-log-reason", {"host": "localhost", "binary": "cinder-volume", "disabled_reason": None}, 400),
        ("disable-log-reason", {"host": "localhost", "binary": "cinder-volume", "disabled_reason": "x" * 256}, 400),
        ("freeze", {"host": "nowhere"}, 400),
        ("thaw", {"host": "nowhere"}, 400),
        ("freeze", {}, 400),
        ("failover_host", {"host": "nowhere"}, 400),
        ("enable", {"host": "a b", "binary": "x"}, 400),
        ("enable", {"host": "h", "binary": "x", "more": 1}, 400),
    ],
)
def test_changes_that_are_refused(api, backend, action, body, status):
    assert put(api, action, **body).status_code == status


def test_hosts(api, backend):
    listed = api.get("/v3/os-hosts").json["hosts"]
    assert {one["service"] for one in listed} == {"cinder-volume", "cinder-scheduler", "cinder-backup"}
    assert set(listed[0]) == {"host_name", "service", "zone", "service-status", "service-state", "last-update"}
    assert api.get("/v3/os-hosts?zone=elsewhere").json == {"hosts": []}
    volume = api.insert("volumes", "0b3d8b1e-0000-4000-8000-000000000001", host=f"{backend}#one", size=3)
    api.insert("volumes", "0b3d8b1e-0000-4000-8000-000000000002", host=f"{backend}#one", size=4, project_id="other")
    api.insert(
        "snapshots", "0b3d8b1e-0000-4000-8000-000000000003", volume_id=volume, host=f"{backend}#one", volume_size=3
    )
    shown = [one["resource"] for one in api.get(f"/v3/os-hosts/{backend}").json["host"]]
    assert shown[0] == {
        "host": backend,
        "project": "(total)",
        "volume_count": "2",
        "total_volume_gb": "7",
        "snapshot_count": "1",
        "total_snapshot_gb": "3",
    }
    assert [one["volume_count"] for one in shown[1:]] == ["1", "1"]
    assert message(api.get("/v3/os-hosts/localhost"), 404) == "Host localhost could not be found."
    put(api, "disable", host=backend, binary="cinder-volume")
    assert "cinder-volume" not in {one["service"] for one in api.get("/v3/os-hosts").json["hosts"]}


def test_capabilities(api, backend):
    pool = api.get("/v3/scheduler-stats/get_pools?detail=true").json["pools"][0]
    for name in (backend, pool["name"]):
        shown = api.get(f"/v3/capabilities/{name.replace('#', '%23')}").json
        assert shown["namespace"] == f"OS::Storage::Capabilities::{backend}"
        for key in ("vendor_name", "volume_backend_name", "storage_protocol", "driver_version"):
            assert shown[key] == pool["capabilities"][key]
        assert shown["properties"]["qos"] == {"title": "QoS", "description": "Enables QoS.", "type": "boolean"}
    assert message(api.get("/v3/capabilities/nowhere"), 404) == "Can't find service: nowhere"


def test_pools_are_filtered(api):
    name = api.get("/v3/scheduler-stats/get_pools").json["pools"][0]["name"]
    fits = api.post("/v3/types", {"volume_type": {"name": "fits"}})
    assert fits.status_code == 200
    api.post("/v3/types", {"volume_type": {"name": "odd", "extra_specs": {"vendor_name": "nobody"}}})

    def names(query, version="3.71"):
        return [one["name"] for one in api.get(f"/v3/scheduler-stats/get_pools{query}", version=version).json["pools"]]

    encoded = name.replace("#", "%23")
    assert names(f"?name={encoded}") == [name]
    assert names("?name=other") == []
    assert names("?name=other", "3.27") == [name]
    assert names("?volume_type=fits") == [name]
    assert names("?volume_type=odd") == []
    assert names("?volume_type=odd", "3.34") == [name]
    assert names("?storage_protocol=local&detail=true") == [name]
    assert api.get("/v3/scheduler-stats/get_pools?colour=red").status_code == 400
    assert api.get("/v3/scheduler-stats/get_pools?volume_type=nothing").status_code == 404


def test_there_are_no_clusters(api):
    assert api.get("/v3/clusters").json == {"clusters": []}
    assert api.get("/v3/clusters/detail?disabled=false&num_hosts=1").json == {"clusters": []}
    assert "Invalid filter keys: frozen" in message(api.get("/v3/clusters?frozen=1", version="3.25"))
    assert api.get("/v3/clusters?frozen=true").status_code == 200
    assert api.get("/v3/clusters?is_up=perhaps").status_code == 400
    assert message(api.get("/v3/clusters/mine"), 404) == "Cluster mine could not be found."
    assert api.put("/v3/clusters/enable", {"name": "mine"}).status_code == 404
    assert api.get("/v3/clusters", version="3.6").status_code == 404


def test_nothing_waits_for_a_cleanup(api):
    done = api.post("/v3/workers/cleanup", {"is_up": "true", "resource_type": "volume"})
    assert (done.status_code, done.json) == (202, {"cleaning": [], "unavailable": []})
    assert "no resource with UUID" in message(api.post("/v3/workers/cleanup", {"resource_id": NOBODY}))
    assert "Resource type Pear not valid" in message(api.post("/v3/workers/cleanup", {"resource_type": "pear"}))
    assert api.post("/v3/workers/cleanup", {"binary": "x"}).status_code == 400
    assert api.post("/v3/workers/cleanup", {}, version="3.23").status_code == 404


def test_resource_filters(api):
    shown = {one["resource"]: one["filters"] for one in api.get("/v3/resource_filters").json["resource_filters"]}
    assert shown["pool"] == ["name", "volume_type"]
    assert len(shown) == 9
    assert api.get("/v3/resource_filters?resource=group").json == {
        "resource_filters": [{"resource": "group", "filters": ["name"]}]
    }
    assert api.get("/v3/resource_filters", version="3.32").status_code == 404


def test_for_administrators(api_as):
    for path in ("os-services", "os-hosts", "clusters", "capabilities/x", "scheduler-stats/get_pools"):
        assert api_as("member").get(f"/v3/{path}").status_code == 403


def test_log_levels(api, backend):
    logger = logging.getLogger("breezeblock.of_this_test")
    done = put(api, "set-log", binary="*", prefix="breezeblock.of_this_test", level="debug")
    assert done.status_code == 202
    assert logger.level == logging.DEBUG
    told = put(api, "get-log", prefix="breezeblock.of_this_test").json["log_levels"]
    assert {one["binary"] for one in told} == {"cinder-api", "cinder-volume", "cinder-scheduler", "cinder-backup"}
    assert all(one["levels"] == {"breezeblock.of_this_test": "DEBUG"} for one in told)
    volume = put(api, "get-log", binary="cinder-volume", server=backend).json["log_levels"]
    assert volume == [
        {
            "host": backend,
            "binary": "cinder-volume",
            "levels": {"breezeblock": "INFO", "breezeblock.of_this_test": "DEBUG"},
        }
    ]
    assert put(api, "set-log", level="loud").status_code == 400
    assert put(api, "get-log", binary="nova-api").status_code == 400
    assert api.put("/v3/os-services/get-log", {}, version="3.31").status_code == 404
    logger.setLevel(logging.NOTSET)
