"""Transfers: a volume is offered under a key, and taken by whoever knows it."""

import uuid

import pytest

from breezeblock.config import DEFAULT_PROJECT
from breezeblock.db import tables

VOLUME = str(uuid.UUID(int=1))
OTHER = "b" * 32
PATHS = ["/v3/os-volume-transfer", "/v3/volume-transfers"]


def fault(answer, code=400):
    assert answer.status_code == code, answer.text
    ((_, content),) = answer.json.items()
    return content["message"]


def offer(api, path=PATHS[1], code=202, volume=VOLUME, version="3.71", **more):
    answer = api.post(path, {"transfer": {"volume_id": volume, **more}}, version=version)
    assert answer.status_code == code, answer.text
    return answer.json["transfer"] if code == 202 else fault(answer, code)


def accept(api, transfer, path=PATHS[1], key=None):
    return api.post(f"{path}/{transfer['id']}/accept", {"accept": {"auth_key": key or transfer["auth_key"]}})


def status(api):
    return api.get(f"/v3/volumes/{VOLUME}").json["volume"]["status"]


@pytest.mark.parametrize("path", PATHS)
def test_offered_and_taken(api, api_as, path):
    api.insert("volumes", VOLUME)
    api.insert("snapshots", VOLUME, volume_id=VOLUME)
    giver, taker = api_as("member"), api_as("member", project=OTHER)
    made = offer(giver, path, name=" gift ")
    assert (made["name"], made["accepted"], made["source_project_id"]) == ("gift", False, DEFAULT_PROJECT)
    assert len(made["auth_key"]) == 16
    assert status(api) == "awaiting-transfer"
    shown = giver.get(f"{path}/{made['id']}").json["transfer"]
    assert shown == {key: value for key, value in made.items() if key != "auth_key"}
    assert taker.get(f"{path}/{made['id']}").status_code == 404
    assert taker.get(path).json == {"transfers": []}
    assert "invalid auth key" in fault(accept(taker, made, path, "x"))
    taken = accept(taker, made, path)
    assert taken.status_code == 202
    assert taken.json["transfer"].keys() == {"id", "volume_id", "name", "links"}
    owned = api_as("member", project=OTHER).get(f"/v3/volumes/{VOLUME}").json["volume"]
    assert (owned["status"], owned["user_id"], owned["os-vol-tenant-attr:tenant_id"]) == (
        "available",
        "somebody",
        OTHER,
    )
    assert taker.get(f"/v3/snapshots/{VOLUME}").status_code == 200
    assert giver.get(f"/v3/volumes/{VOLUME}").status_code == 404
    assert accept(taker, made, path).status_code == 404
    kinds = [event.type.removeprefix("volume.transfer.") for event in api.cloud.events()]
    assert kinds == ["create.start", "create.end", "accept.start", "accept.end"]


def test_the_key_is_kept_nowhere(api):
    api.insert("volumes", VOLUME)
    made = offer(api)
    with api.cloud.database.read() as connection:
        (row,) = connection.execute(tables.transfers.select())
        events = connection.exec_driver_sql("SELECT payload FROM events").scalars().all()
    assert made["auth_key"] not in f"{row} {events}"
    assert len(row.salt) == 8


def test_withdrawn(api, api_as):
    api.insert("volumes", VOLUME)
    made = offer(api)
    assert api_as("member", project=OTHER).delete(f"{PATHS[1]}/{made['id']}").status_code == 404
    assert api.delete(f"{PATHS[1]}/{made['id']}").status_code == 202
    assert status(api) == "available"
    assert accept(api, made).status_code == 404


def test_an_administrator_sees_all_offers(api, api_as):
    api.insert("volumes", VOLUME, project_id=OTHER)
    made = offer(api_as("member", project=OTHER))
    admin = api_as("admin")
    assert admin.get(f"{PATHS[1]}/{made['id']}").status_code == 200
    assert admin.get(PATHS[1]).json == {"transfers": []}
    assert [one["id"] for one in admin.get(f"{PATHS[1]}?all_tenants=1").json["transfers"]] == [made["id"]]
    assert admin.delete(f"{PATHS[1]}/{made['id']}").status_code == 202


def test_snapshots_may_stay(api, api_as):
    api.insert("volumes", VOLUME)
    api.insert("snapshots", VOLUME, volume_id=VOLUME)
    made = offer(api, no_snapshots=True)
    assert made["no_snapshots"] is True
    assert accept(api_as("member", project=OTHER), made).status_code == 202
    assert api_as("member").get(f"/v3/snapshots/{VOLUME}").status_code == 200
    assert "no_snapshots" in fault(
        api.post(PATHS[1], {"transfer": {"volume_id": VOLUME, "no_snapshots": True}}, version="3.54")
    )
    assert "no_snapshots" in fault(api.post(PATHS[0], {"transfer": {"volume_id": VOLUME, "no_snapshots": True}}))


@pytest.mark.parametrize(
    ("quota", "refused"),
    [
        ({"volumes": 0}, "volumes"),
        ({"gigabytes": 2}, "gigabytes"),
        ({"snapshots": 0}, "snapshots"),
        ({"per_volume_gigabytes": 1}, "GiB"),
        ({"volumes": 1, "gigabytes": 4, "snapshots": 1}, None),
    ],
)
def test_the_receivers_quota_counts(api, api_as, quota, refused):
    api.insert("volumes", VOLUME, size=2)
    api.insert("snapshots", VOLUME, volume_id=VOLUME, volume_size=2)
    api.put(f"/v3/os-quota-sets/{OTHER}", {"quota_set": quota})
    made = offer(api)
    answer = accept(api_as("member", project=OTHER), made)
    if refused is None:
        assert answer.status_code == 202
    else:
        assert refused in fault(answer, 413)
        assert status(api_as("admin")) == "awaiting-transfer"


def test_what_cannot_be_offered(api):
    api.insert("volumes", VOLUME, status="in-use", attach_status="attached")
    assert offer(api, code=400) == "Invalid volume: status must be available"
    assert "could not be found" in offer(api, code=404, volume=str(uuid.uuid4()))
    for wrong in ({}, {"volume_id": "x"}, {"volume_id": VOLUME, "name": "  "}, {"volume_id": VOLUME, "x": 1}):
        assert api.post(PATHS[1], {"transfer": wrong}).status_code == 400
    taken = str(uuid.uuid4())
    api.insert("volumes", taken)
    api.insert("snapshots", taken, volume_id=taken, status="error")
    assert offer(api, code=400, volume=taken) == f"Invalid snapshot: snapshot: {taken} status must be available"


def test_a_connected_volume_is_not_offered(api):
    """Whoever is connected by os-initialize_connection could go on reading it."""
    with api.cloud.running():
        volume = api.cloud.made(size=1).id
        body = {"os-initialize_connection": {"connector": {"host": "here"}}}
        assert api.post(f"/v3/volumes/{volume}/action", body).status_code == 200
        assert "connected" in offer(api, code=400, volume=volume)
        api.post(f"/v3/volumes/{volume}/action", {"os-terminate_connection": {"connector": None}})
        offer(api, volume=volume)
        assert api.post(f"/v3/volumes/{volume}/action", body).status_code == 400


def test_an_encrypted_volume_from_3_70_on_and_whole(api):
    api.insert("volumes", VOLUME, encryption_key_id=VOLUME)
    assert "encrypted" in offer(api, code=400, version="3.69")
    assert "encrypted" in offer(api, PATHS[0], code=400)
    assert "without its snapshots" in offer(api, code=400, no_snapshots=True)
    offer(api, version="3.70")


def test_an_offer_whose_volume_was_taken_back_by_hand(api, api_as):
    api.insert("volumes", VOLUME)
    made = offer(api)
    api.post(f"/v3/volumes/{VOLUME}/action", {"os-reset_status": {"status": "error"}})
    assert "expected in awaiting-transfer state" in fault(accept(api_as("member", project=OTHER), made))
    assert api_as("member").delete(f"{PATHS[1]}/{made['id']}").status_code == 202
    assert status(api_as("member")) == "error"


def test_fields_and_order_by_version(api):
    made = []
    for number in range(1, 4):
        one = str(uuid.UUID(int=number))
        api.insert("volumes", one)
        made.append(offer(api, volume=one)["id"])

    def listed(version, query=""):
        return [one["id"] for one in api.get(f"{PATHS[1]}{query}", version=version).json["transfers"]]

    assert listed("3.58") == made
    assert listed("3.59") == made[::-1]
    assert listed("3.59", "?sort=created_at:asc&limit=2") == made[:2]
    answer = api.get(f"{PATHS[1]}/detail?limit=2").json
    assert answer["transfers_links"][0]["rel"] == "next"
    old = {"id", "created_at", "name", "volume_id", "links"}
    new = {"source_project_id", "destination_project_id", "accepted"}
    for version, keys in {"3.54": old, "3.55": old | {"no_snapshots"}, "3.57": old | {"no_snapshots"} | new}.items():
        assert api.get(f"{PATHS[0]}/{made[0]}", version=version).json["transfer"].keys() == keys
        for one in api.get(f"{PATHS[0]}/detail", version=version).json["transfers"]:
            assert one.keys() == keys
