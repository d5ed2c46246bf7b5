"""A transfer of an encrypted volume: the right to read its key goes with it, or stays where the volume stays."""

import msgspec
import pytest

from breezeblock.context import RequestContext
from breezeblock.db import operations
from breezeblock.errors import InvalidState, KeyManagerError
from breezeblock.keys.local import LocalKeys
from breezeblock.services import transfers
from tests.cloud import MEMBER, Cloud
from tests.flows.test_encryption import DEFAULT, make_type

TAKER = RequestContext(user_id="taker", project_id="theirs", roles=("member",))


class ToldApart(LocalKeys):
    """Keys with readers, as Barbican has them."""

    def __init__(self, root):
        super().__init__(root)
        self.readers = {}
        self.given = []

    def make(self, name, length, reader):
        self.readers[name] = {reader}
        return super().make(name, length, reader)

    def give(self, key_id, reader):
        super().give(key_id, reader)
        self.readers[key_id] = {reader}
        self.given.append(reader)


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(tmp_path / "data", f"{DEFAULT}volume_driver = simulated\n")
    make_type(cloud, "secret")
    cloud.keys = ToldApart(cloud.settings.data_dir / "keys")
    cloud.backend = msgspec.structs.replace(cloud.backend, keys=cloud.keys)
    with cloud.running():
        yield cloud
    cloud.close()


def offered(cloud):
    volume = cloud.made(size=1, volume_type="secret")
    assert cloud.keys.readers == {volume.encryption_key_id: {"user"}}
    offer = transfers.create_transfer(
        cloud.database,
        cloud.settings,
        MEMBER,
        volume_id=volume.id,
        name=None,
        no_snapshots=False,
        allow_encrypted=True,
    )
    return volume, offer


def accept(cloud, offer):
    return transfers.accept_transfer(cloud.database, cloud.settings, TAKER, offer.transfer.id, offer.auth_key)


def test_the_key_goes_with_the_volume(cloud):
    volume, offer = offered(cloud)
    accept(cloud, offer)
    taken = cloud.volume(volume.id)
    assert (taken.status, taken.user_id, taken.project_id) == ("available", "taker", "theirs")
    assert cloud.keys.readers == {taken.encryption_key_id: {"taker"}}
    assert cloud.count("transfers") == 0
    told = [event.type for event in cloud.events() if "accept" in event.type]
    assert told == ["volume.transfer.accept.start", "volume.transfer.accept.end"]


def test_a_key_store_that_fails_leaves_volume_and_offer(cloud, monkeypatch):
    volume, offer = offered(cloud)
    give, failures = cloud.keys.give, [KeyManagerError("Barbican is away.")]

    def failing(key_id, reader):
        if failures:
            raise failures.pop()
        give(key_id, reader)

    monkeypatch.setattr(cloud.keys, "give", failing)
    with pytest.raises(InvalidState, match="Barbican is away"):
        accept(cloud, offer)
    left = cloud.volume(volume.id)
    assert (left.status, left.project_id) == ("awaiting-transfer", "project")
    assert cloud.keys.readers == {left.encryption_key_id: {"user"}}
    accept(cloud, offer)
    assert cloud.volume(volume.id).project_id == "theirs"


def test_an_offer_that_was_withdrawn_meanwhile(cloud):
    """Whoever reads the key then is whose the volume is."""
    volume, offer = offered(cloud)
    transfers.delete_transfer(cloud.database, MEMBER, offer.transfer.id)
    with cloud.database.begin() as connection:
        operations.request_flow(
            connection,
            TAKER,
            "accept_transfer",
            operation_id=offer.transfer.id,
            resource=volume,
            arguments={"volume_id": volume.id, "transfer_id": offer.transfer.id},
        )
    assert cloud.settled(volume.id).state == "failed"
    assert cloud.keys.given == ["taker", "user"]
    assert cloud.volume(volume.id).project_id == "project"
