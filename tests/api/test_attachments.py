"""Attachments as their owner sees them."""

from breezeblock.errors import BackendOutOfSpace


def test_a_storage_that_cannot_connect_says_why(api, monkeypatch):
    """500, as Cinder answers it, with the storage's own reason."""

    def full(volume, connector):
        raise BackendOutOfSpace("The storage has no room for an export.")

    with api.cloud.running():
        volume = api.cloud.made(size=1)
        monkeypatch.setattr(api.cloud.driver, "initialize_connection", full)
        body = {"attachment": {"volume_uuid": volume.id, "connector": {"host": "here"}}}
        answer = api.post("/v3/attachments", body)
    assert answer.status_code == 500
    assert answer.json == {"computeFault": {"code": 500, "message": "The storage has no room for an export."}}
