"""Backups through the API, made real by an engine: status codes, bodies and messages as Cinder 29 has them."""

import base64
import json
import time
import uuid

import pytest

from breezeblock.model.backup import SERVICE

GONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def live(api):
    api.cloud.leaves_flows = False
    with api.cloud.running():
        yield api


def settled(api, kind, resource_id):
    deadline = time.monotonic() + 30
    while True:
        found = api.get(f"/v3/{kind}/{resource_id}").json[kind[:-1]]
        if found["status"] not in {"creating", "backing-up", "restoring", "restoring-backup", "deleting"}:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.005)


def made(api, kind, **fields):
    answer = api.post(f"/v3/{kind}", {kind[:-1]: fields})
    assert answer.status_code == 202, answer.text
    return settled(api, kind, answer.json[kind[:-1]]["id"])


def refused(answer, said, status=400):
    assert answer.status_code == status, answer.text
    (fault,) = answer.json.values()
    assert said in fault["message"], fault


def test_full_and_incremental(live):
    volume = made(live, "volumes", size=1)["id"]
    full = made(live, "backups", volume_id=volume)
    second = made(live, "backups", volume_id=volume, incremental=True, container="c", availability_zone="nova")
    assert (full["is_incremental"], full["has_dependent_backups"], full["fail_reason"]) == (False, False, None)
    assert (second["is_incremental"], second["container"], second["availability_zone"]) == (True, "c", "nova")
    assert second["data_timestamp"] == second["created_at"]
    assert live.get(f"/v3/backups/{full['id']}").json["backup"]["has_dependent_backups"]
    refused(live.delete(f"/v3/backups/{full['id']}"), "Invalid backup: Incremental backups exist for this backup.")
    force = {"os-force_delete": {}}
    refused(live.post(f"/v3/backups/{full['id']}/action", force), "Incremental backups exist")
    for backup in (second, full):
        assert live.delete(f"/v3/backups/{backup['id']}").status_code == 202
        live.cloud.settled(backup["id"])
        assert live.get(f"/v3/backups/{backup['id']}").status_code == 404


def test_creates_that_cannot_be(live):
    volume, other = made(live, "volumes", size=1)["id"], made(live, "volumes", size=1)["id"]
    snapshot = made(live, "snapshots", volume_id=other)["id"]
    for fields, said in (
        ({"incremental": True}, "Invalid backup: No backups available to do an incremental backup."),
        ({"snapshot_id": snapshot}, f"Invalid volume: Volume {volume} does not match with snapshot.volume_id {other}."),
        ({"availability_zone": "elsewhere"}, "Availability zone 'elsewhere' is invalid."),
        ({"incremental": "perhaps"}, "incremental"),
        ({"surprise": 1}, "Additional properties are not allowed"),
        ({"name": "x" * 256}, "name"),
        ({"snapshot_id": "no id"}, "snapshot_id"),
    ):
        refused(live.post("/v3/backups", {"backup": {"volume_id": volume, **fields}}), said)
    zone = {"backup": {"volume_id": volume, "availability_zone": "nova"}}
    refused(live.post("/v3/backups", zone, version="3.50"), "Additional properties are not allowed")
    refused(live.post("/v3/backups", {"backup": {"volume_id": GONE}}), "could not be found", 404)
    refused(live.post("/v3/backups", {"backup": {"volume_id": volume, "snapshot_id": GONE}}), "could not be found", 404)
    live.post(f"/v3/volumes/{volume}/action", {"os-reset_status": {"status": "error"}})
    said = 'Volume to be backed up must be available or in-use, but the current status is "error".'
    refused(live.post("/v3/backups", {"backup": {"volume_id": volume}}), said)


def test_a_backup_of_a_snapshot_leaves_the_volume_alone(live):
    volume = made(live, "volumes", size=1)["id"]
    snapshot = made(live, "snapshots", volume_id=volume)
    backup = made(live, "backups", volume_id=volume, snapshot_id=snapshot["id"])
    assert (backup["snapshot_id"], backup["data_timestamp"]) == (snapshot["id"], snapshot["created_at"])
    assert settled(live, "snapshots", snapshot["id"])["status"] == "available"


def test_restore(live):
    volume, small = made(live, "volumes", size=2)["id"], made(live, "volumes", size=1)["id"]
    backup = made(live, "backups", volume_id=volume)["id"]
    path = f"/v3/backups/{backup}/restore"
    refused(live.post(path, {"restore": {"volume_id": small}}), "too small to restore backup of size 2.")
    refused(live.post(path, {"restore": {"volume_id": GONE}}), "could not be found", 404)
    refused(live.post(path, {"restore": {"size": 2}}), "Additional properties are not allowed")
    refused(live.post(f"/v3/backups/{GONE}/restore", {"restore": {}}), "could not be found", 404)
    answer = live.post(path, {"restore": {"name": "mine"}}).json["restore"]
    assert (answer["backup_id"], answer["volume_name"]) == (backup, "mine")
    assert settled(live, "volumes", answer["volume_id"])["metadata"] == {"src_backup_id": backup}
    assert settled(live, "backups", backup)["status"] == "available"
    answer = live.post(path, {"restore": None})
    assert (answer.status_code, answer.json["restore"]["volume_name"]) == (202, f"restore_backup_{backup}")
    settled(live, "volumes", answer.json["restore"]["volume_id"])
    assert settled(live, "backups", backup)["status"] == "available"
    assert live.post(path, {"restore": {"volume_id": volume}}).status_code == 202
    assert settled(live, "volumes", volume)["status"] == "available"
    assert settled(live, "backups", backup)["status"] == "available"
    live.post(f"/v3/backups/{backup}/action", {"os-reset_status": {"status": "error"}})
    refused(live.post(path, {"restore": {}}), "Invalid backup: Backup status must be available")


def test_reset_status_and_force_delete(live):
    volume = made(live, "volumes", size=1)["id"]
    backup = made(live, "backups", volume_id=volume)["id"]
    path = f"/v3/backups/{backup}/action"
    said = "Backup status: creating is invalid, valid statuses are: ['available', 'error']."
    refused(live.post(path, {"os-reset_status": {"status": "creating"}}), said)
    refused(live.post(path, {"os-reset_status": {}}), "status")
    refused(live.post(path, {"os-extend": {}}), "There is no such action")
    refused(live.post(f"/v3/backups/{GONE}/action", {"os-force_delete": {}}), "could not be found", 404)
    for status in ("Error", "available"):
        assert live.post(path, {"os-reset_status": {"status": status}}).status_code == 202
        assert live.get(f"/v3/backups/{backup}").json["backup"]["status"] == status.lower()
    assert live.post(path, {"os-force_delete": {}}).status_code == 202
    live.cloud.settled(backup)
    assert live.get(f"/v3/backups/{backup}").status_code == 404
    told = [event.type for event in live.cloud.events() if "reset_status" in event.type]
    assert told == ["backup.reset_status.start", "backup.reset_status.end"] * 2


def test_export_and_import(live):
    volume = made(live, "volumes", size=1)["id"]
    backup = made(live, "backups", volume_id=volume, name="n", description="d")
    record = live.get(f"/v3/backups/{backup['id']}/export_record").json["backup-record"]
    assert set(record) == {"backup_service", "backup_url"}
    assert record["backup_service"] == SERVICE
    assert SERVICE.startswith("cinder.backup.drivers")
    path = "/v3/backups/import_record"
    refused(live.post(path, {"backup-record": record}), "Invalid backup: Backup already exists in database.")
    fields = json.loads(base64.b64decode(record["backup_url"])) | {"id": str(uuid.uuid4())}
    again = record | {"backup_url": base64.b64encode(json.dumps(fields).encode()).decode()}
    answer = live.post(path, {"backup-record": again})
    assert answer.status_code == 201
    assert set(answer.json["backup"]) == {"id", "name", "links"}
    copy = settled(live, "backups", answer.json["backup"]["id"])
    for key in ("name", "description", "size", "object_count", "volume_id", "created_at", "data_timestamp"):
        assert copy[key] == backup[key]
    refused(live.post(path, {"backup-record": {"backup_service": SERVICE}}), "backup_url")
    refused(live.post(path, {"backup-record": again | {"backup_url": ""}}), "backup_url")
    refused(live.get(f"/v3/backups/{GONE}/export_record"), "could not be found", 404)
    live.post(f"/v3/backups/{backup['id']}/action", {"os-reset_status": {"status": "error"}})
    said = "Invalid backup: Backup status must be available and not error."
    refused(live.get(f"/v3/backups/{backup['id']}/export_record"), said)


def test_lists_are_filtered_and_sorted(api):
    for number, (name, status) in enumerate((("b", "available"), ("a", "error"), ("c", "available"))):
        api.insert("backups", str(uuid.UUID(int=number)), name=name, status=status, size=number + 1)

    def names(query, version="3.71"):
        return [one["name"] for one in api.get(f"/v3/backups?{query}", version=version).json["backups"]]

    assert names("sort=name:asc") == ["a", "b", "c"]
    assert names("sort_key=name&sort_dir=desc", "3.37") == ["c", "b", "a"]
    assert names("status=available&sort=size:desc") == ["c", "b"]
    assert names("name=a&volume_id=gone") == ["a"]
    assert names(f"sort=name&limit=1&marker={uuid.UUID(int=0)}") == ["a"]
    assert api.get("/v3/backups/detail?with_count=True&limit=1", version="3.45").json["count"] == 3
    refused(api.get("/v3/backups?surprise=1"), "surprise")
