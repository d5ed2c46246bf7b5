"""Attaching the old way, by actions on the volume, as tempest and clients before 3.27 do."""

import uuid

import pytest

from breezeblock.db import attachments
from breezeblock.errors import BackendOutOfSpace

SERVER = str(uuid.uuid4())
CONNECTOR = {"host": "here", "ip": "127.0.0.1"}
COMPUTE = '[{"type": "compute", "name": "nova"}]'


@pytest.fixture
def volume(api):
    volume_id = str(uuid.uuid4())
    return api.insert("volumes", volume_id, status="available")


def act(api, volume, action, body=None, code=202, **more):
    answer = api.post(f"/v3/volumes/{volume}/action", {action: body}, **more)
    assert answer.status_code == code, answer.text
    return answer.json if answer.content else None


def shown(api, volume):
    return api.get(f"/v3/volumes/{volume}").json["volume"]


def fault(api, volume, action, body=None, code=400):
    (answer,) = act(api, volume, action, body, code).values()
    return answer["message"]


def test_reserving_and_unreserving(api, volume):
    act(api, volume, "os-reserve", {})
    assert shown(api, volume)["status"] == "attaching"
    assert fault(api, volume, "os-reserve") == (
        "Invalid volume: Volume status must be available to reserve, but the status is attaching."
    )
    act(api, volume, "os-unreserve", {})
    assert shown(api, volume)["status"] == "available"
    act(api, volume, "os-unreserve", {})


def test_attached_by_a_server_and_detached(api, volume):
    with api.cloud.running():
        volume = api.cloud.made(size=1).id
        act(api, volume, "os-reserve")
        act(api, volume, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"})
        there = shown(api, volume)
        assert there["status"] == "in-use"
        assert there["metadata"] == {"readonly": "False", "attached_mode": "rw"}
        (attachment,) = there["attachments"]
        assert (attachment["id"], attachment["server_id"], attachment["device"]) == (volume, SERVER, "/dev/vdb")
        act(api, volume, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"})  # done already
        assert "multiple attachments are not enabled" in fault(
            api, volume, "os-attach", {"host_name": "other", "mountpoint": "/dev/vdb"}
        )
        act(api, volume, "os-begin_detaching")
        assert shown(api, volume)["status"] == "detaching"
        act(api, volume, "os-roll_detaching")
        assert shown(api, volume)["status"] == "in-use"
        assert "is attached" in fault_of_delete(api, volume)
        act(api, volume, "os-detach", {"attachment_id": attachment["attachment_id"]})
        there = shown(api, volume)
    assert (there["status"], there["attachments"], there["metadata"]) == ("available", [], {"readonly": "False"})
    kinds = [event.type for event in api.cloud.events() if "tach" in event.type]
    assert kinds == ["volume.attach.start", "volume.attach.end", "volume.detach.start", "volume.detach.end"]


def fault_of_delete(api, volume):
    answer = api.delete(f"/v3/volumes/{volume}")
    assert answer.status_code == 400
    return answer.json["badRequest"]["message"]


def test_a_connection_attaches_nobody(api):
    """os-initialize_connection exports the volume; no attachment shows it, and terminating it withdraws the export."""
    with api.cloud.running():
        volume = api.cloud.made(size=1).id
        first, again = (
            act(api, volume, "os-initialize_connection", {"connector": CONNECTOR}, 200)["connection_info"]
            for _ in range(2)
        )
        assert first == again
        assert first["data"]["access_mode"] == "rw"
        assert "attachment_id" not in first["data"]
        assert shown(api, volume)["status"] == "available"
        assert api.get("/v3/attachments").json == {"attachments": []}
        with api.cloud.database.read() as connection:
            (bare,) = attachments.connected(connection, volume)
        assert api.get(f"/v3/attachments/{bare.id}").status_code == 404
        assert "is attached or connected" in fault_of_delete(api, volume)
        act(api, volume, "os-terminate_connection", {"connector": {"host": "elsewhere"}})
        assert connections(api, volume) == 1
        act(api, volume, "os-terminate_connection", {"connector": CONNECTOR})
        assert connections(api, volume) == 0


def connections(api, volume):
    with api.cloud.database.read() as connection:
        return len(attachments.connected(connection, volume))


def test_the_last_detach_ends_the_connection(api):
    with api.cloud.running():
        volume = api.cloud.made(size=1).id
        act(api, volume, "os-initialize_connection", {"connector": CONNECTOR}, 200)
        act(api, volume, "os-attach", {"host_name": "here", "mountpoint": "/mnt"})
        assert connections(api, volume) == 1
        act(api, volume, "os-detach", None)
        assert connections(api, volume) == 0
        assert shown(api, volume)["status"] == "available"


def test_a_storage_that_cannot_connect_leaves_nothing(api, monkeypatch):
    def full(volume, connector):
        raise BackendOutOfSpace("The storage has no room for an export.")

    with api.cloud.running():
        volume = api.cloud.made(size=1).id
        monkeypatch.setattr(api.cloud.driver, "initialize_connection", full)
        assert fault(api, volume, "os-initialize_connection", {"connector": CONNECTOR}, 500) == (
            "The storage has no room for an export."
        )
    assert api.cloud.count("attachments") == 0


def test_forced_from_an_error(api):
    with api.cloud.running():
        volume = api.cloud.made(size=1).id
        act(api, volume, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"})
        (attachment,) = shown(api, volume)["attachments"]
        act(api, volume, "os-reset_status", {"status": "error"})
        force = {"connector": None, "attachment_id": attachment["attachment_id"]}
        act(api, volume, "os-force_detach", force)
        there = shown(api, volume)
    assert (there["status"], there["attachments"]) == ("available", [])


def test_only_the_compute_service_takes_a_volume_from_its_server(api, api_as):
    """CVE-2023-2088; where the catalog has no compute service, a server is only a name."""
    with api.cloud.running():
        volume = api.cloud.made(size=1)
        body = {"attachment": {"volume_uuid": volume.id, "instance_uuid": SERVER, "connector": CONNECTOR}}
        attachment = api.post("/v3/attachments", body).json["attachment"]["id"]
        owner = api_as("member", project="project")
        nova = {"X-Service-Catalog": COMPUTE}
        refused = owner.delete(f"/v3/attachments/{attachment}", headers=nova)
        assert refused.status_code == 409
        assert refused.json["conflictingRequest"]["message"] == (
            f"Detach volume from instance {SERVER} using the Compute API"
        )
        for catalog in ("{", "[7]", '{"type": "compute"}'):
            wrong = owner.delete(f"/v3/attachments/{attachment}", headers={"X-Service-Catalog": catalog})
            assert wrong.status_code == 400
        act(owner, volume.id, "os-terminate_connection", {"connector": CONNECTOR}, 409, headers=nova)
        act(owner, volume.id, "os-detach", {"attachment_id": attachment}, 409, headers=nova)
        service = api_as("member", "service", project="project")
        assert service.delete(f"/v3/attachments/{attachment}", headers=nova).status_code == 200
        again = api.post("/v3/attachments", body).json["attachment"]["id"]
        assert api_as("member", project="project").delete(f"/v3/attachments/{again}").status_code == 200


def test_what_cannot_be_attached(api, volume):
    assert "'host_name' is a required property" in fault(api, volume, "os-attach", {"mountpoint": "/dev/vdb"})
    assert "mode" in fault(api, volume, "os-attach", {"host_name": "a", "mountpoint": "/mnt", "mode": "x"})
    act(api, volume, "os-update_readonly_flag", {"readonly": True})
    assert fault(api, volume, "os-attach", {"host_name": "a", "mountpoint": "/mnt"}) == (
        f"Invalid attaching mode 'rw' for volume {volume}."
    )
    assert "to detach" in fault(api, volume, "os-begin_detaching")
    act(api, volume, "os-reset_status", {"status": "maintenance"})
    for action, body in {
        "os-attach": {"host_name": "a", "mountpoint": "/mnt", "mode": "ro"},
        "os-detach": {},
        "os-initialize_connection": {"connector": CONNECTOR},
    }.items():
        assert "maintenance mode" in fault(api, volume, action, body)


def test_several_attachments_need_a_name(api):
    volume = api.insert("volumes", str(uuid.uuid4()), status="available", multiattach=True)
    for host in ("one", "two"):
        act(api, volume, "os-attach", {"host_name": host, "mountpoint": "/mnt"})
    assert "More than one attachment" in fault(api, volume, "os-detach")
    other = api.insert("volumes", str(uuid.uuid4()), status="available")
    (first, _) = shown(api, volume)["attachments"]
    assert "Mismatched" in fault(api, other, "os-detach", {"attachment_id": first["attachment_id"]})


def test_anothers_volume_is_not_found(api, volume, api_as):
    stranger = api_as("member", project="b" * 32)
    bodies = {
        "os-attach": {"host_name": "a", "mountpoint": "/mnt"},
        "os-detach": {},
        "os-initialize_connection": {"connector": CONNECTOR},
        "os-terminate_connection": {"connector": CONNECTOR},
    }
    for action in ("reserve", "unreserve", "begin_detaching", "roll_detaching"):
        act(stranger, volume, f"os-{action}", {}, 404)
    for action, body in bodies.items():
        act(stranger, volume, action, body, 404)
    act(api_as("member"), volume, "os-force_detach", {}, 403)
    act(api_as("reader"), volume, "os-reserve", {}, 403)


def test_reserved_twice_for_the_same_server_only(api, volume):
    """A server that moves has the volume twice; nobody else may reserve it meanwhile (Cinder: `_attachment_reserve`)."""

    def reserve(server, code=200):
        answer = api.post("/v3/attachments", {"attachment": {"volume_uuid": volume, "instance_uuid": server}})
        assert answer.status_code == code
        return answer.json

    assert reserve(SERVER)["attachment"]["attach_mode"] == "null"
    reserve(SERVER)
    assert reserve(str(uuid.uuid4()), 400)["badRequest"]["message"] == (
        f"Invalid volume: Volume {volume} status must be available or downloading to reserve, but the current status "
        "is reserved."
    )


def test_a_volume_in_error_has_no_new_attachments(api):
    volume = api.insert("volumes", str(uuid.uuid4()), status="error")
    answer = api.post("/v3/attachments", {"attachment": {"volume_uuid": volume}})
    assert (answer.status_code, "error state" in answer.text) == (400, True)
    attachment = api.insert("attachments", str(uuid.uuid4()), volume_id=volume, attach_status="reserved")
    answer = api.put(f"/v3/attachments/{attachment}", {"attachment": {"connector": CONNECTOR}})
    assert (answer.status_code, "error state" in answer.text) == (409, True)


def test_attachments_are_listed_for_their_project(api, api_as, volume):
    attachment = api.insert("attachments", str(uuid.uuid4()), volume_id=volume, instance_uuid=SERVER)
    for query in ("", f"?instance_id={SERVER}", f"?volume_id={volume}", "?status=attached"):
        found = api_as("reader").get(f"/v3/attachments{query}").json["attachments"]
        assert found == [{"id": attachment, "status": "attached", "instance": SERVER, "volume_id": volume}]
    assert api_as("member", project="b" * 32).get("/v3/attachments/detail").json == {"attachments": []}
    assert api.get(f"/v3/attachments/{attachment}", version="3.26").status_code == 404
