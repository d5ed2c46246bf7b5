"""How types encrypt, as an administrator says it and Nova reads it: bodies and refusals are Cinder's."""

import pytest

from tests.api.test_volumes import message

SPECS = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 256}
NOBODY = "0b3d8b1e-0000-4000-8000-00000000000f"
VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"


@pytest.fixture
def type_id(api):
    return api.post("/v3/types", {"volume_type": {"name": "secret"}}).json["volume_type"]["id"]


def test_a_type_that_encrypts(api, type_id):
    path = f"/v3/types/{type_id}/encryption"
    assert api.get(path).json == {}
    made = api.post(path, {"encryption": SPECS})
    assert made.status_code == 200
    assert set(made.json["encryption"]) == {*SPECS, "volume_type_id", "encryption_id"}
    assert made.json["encryption"].items() >= {**SPECS, "volume_type_id": type_id}.items()
    shown = api.get(path).json
    assert shown.items() >= made.json["encryption"].items()
    assert set(shown) - set(made.json["encryption"]) == {"created_at", "updated_at", "deleted", "deleted_at"}
    assert (shown["deleted"], shown["updated_at"]) == (False, None)
    assert api.get(f"{path}/cipher").json == {"cipher": "aes-xts-plain64"}
    assert api.get(f"{path}/nothing").status_code == 404
    changed = api.put(f"{path}/{shown['encryption_id']}", {"encryption": {"key_size": "512"}})
    assert (changed.status_code, changed.json) == (200, {"encryption": {"key_size": 512}})
    assert api.get(path).json["key_size"] == 512
    assert api.delete(f"{path}/provider").status_code == 202
    assert api.get(path).json == {}


def test_what_is_not_there(api, type_id):
    for call in (
        api.get(f"/v3/types/{NOBODY}/encryption"),
        api.get("/v3/types/secret/encryption"),
        api.post(f"/v3/types/{NOBODY}/encryption", {"encryption": SPECS}),
        api.put(f"/v3/types/{NOBODY}/encryption/provider", {"encryption": SPECS}),
        api.put(f"/v3/types/{type_id}/encryption/provider", {"encryption": SPECS}),
        api.delete(f"/v3/types/{type_id}/encryption/provider"),
        api.get(f"/v3/types/{type_id}/encryption/provider"),
    ):
        assert call.status_code == 404, call.text
    api.post(f"/v3/types/{type_id}/encryption", {"encryption": SPECS})
    again = api.post(f"/v3/types/{type_id}/encryption", {"encryption": SPECS})
    assert again.status_code == 400
    assert message(again) == f"Volume type encryption for type {type_id} already exists."


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": None},
        {"control_location": "elsewhere"},
        {"key_size": -1},
        {"key_size": "many"},
        {"cipher": "x" * 256},
        {"provider": 7},
    ],
)
def test_bodies_that_are_refused(api, type_id, wrong):
    answer = api.post(f"/v3/types/{type_id}/encryption", {"encryption": SPECS | wrong})
    assert answer.status_code == 400, answer.text
    assert api.post(f"/v3/types/{type_id}/encryption", {"encryption": {"provider": "luks"}}).status_code == 400
    assert api.post(f"/v3/types/{type_id}/encryption", SPECS).status_code == 400
    assert api.get(f"/v3/types/{type_id}/encryption").json == {}


def test_a_type_in_use_encrypts_as_it_does(api, type_id):
    path = f"/v3/types/{type_id}/encryption"
    api.post(path, {"encryption": SPECS})
    api.insert("volumes", VOLUME, volume_type_id=type_id, encryption_key_id=NOBODY)
    for call, verb in (
        (api.post(path, {"encryption": SPECS}), "create"),
        (api.put(f"{path}/provider", {"encryption": {"cipher": None}}), "update"),
        (api.delete(f"{path}/provider"), "delete"),
    ):
        assert call.status_code == 400
        assert message(call) == f"Cannot {verb} encryption specs. Volume type in use."


def test_a_deleted_type_does_not_leave_its_encryption(api, type_id):
    api.post(f"/v3/types/{type_id}/encryption", {"encryption": SPECS})
    assert api.delete(f"/v3/types/{type_id}").status_code == 202
    with api.cloud.database.read() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM volume_type_encryptions").scalar_one()
    assert left == 0


def test_what_nova_reads_of_a_volume(api, type_id):
    api.post(f"/v3/types/{type_id}/encryption", {"encryption": SPECS})
    volume = api.post("/v3/volumes", {"volume": {"size": 1, "volume_type": "secret"}}).json["volume"]
    assert volume["encrypted"] is True
    path = f"/v3/volumes/{volume['id']}/encryption"
    assert api.get(path).json == {**SPECS, "encryption_key_id": volume["encryption_key_id"]}
    assert api.get(f"{path}/provider").text == "luks"
    assert api.get(f"{path}/key_size").text == "256"
    assert api.get(f"{path}/nothing").status_code == 404
    plain = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]
    assert plain["encrypted"] is False
    assert api.get(f"/v3/volumes/{plain['id']}/encryption").json == {"encryption_key_id": None}


def test_volumes_that_cannot_be_encrypted_as_their_type_asks(api, type_id):
    api.post(f"/v3/types/{type_id}/encryption", {"encryption": SPECS | {"provider": "mine"}})
    answer = api.post("/v3/volumes", {"volume": {"size": 1, "volume_type": "secret"}})
    assert answer.status_code == 400
    assert "provider mine is not supported" in message(answer)


def test_backups_show_their_key(api):
    api.insert("backups", VOLUME, encryption_key_id=NOBODY)
    assert api.get(f"/v3/backups/{VOLUME}").json["backup"]["encryption_key_id"] == NOBODY
    assert "encryption_key_id" not in api.get(f"/v3/backups/{VOLUME}", version="3.63").json["backup"]
