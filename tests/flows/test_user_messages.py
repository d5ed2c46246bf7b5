"""A flow that fails tells its user, in the transaction that ends it; what is old goes."""

import pytest

from breezeblock.db import retention, tables
from breezeblock.errors import BackendInUse, DriverError, ImageUnacceptable, NotFound, OverQuota, SignatureRefused
from breezeblock.flows import user_messages
from breezeblock.model import clock
from breezeblock.model.operation import Operation
from breezeblock.model.user_message import ACTIONS, DETAILS
from breezeblock.services import snapshots
from tests.cloud import MEMBER, Cloud

CONF = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = simulated\nsimulated_failures = "


def told(cloud):
    with cloud.database.read() as connection:
        return [(row.event_id, row.resource_uuid) for row in connection.execute(tables.user_messages.select())]


@pytest.mark.parametrize(
    ("failure", "event"),
    [("create_volume:error", "VOLUME_VOLUME_008_012"), ("create_snapshot:error", "VOLUME_VOLUME_SNAPSHOT_009_013")],
)
def test_a_failed_flow_tells_its_user(tmp_path, failure, event):
    cloud = Cloud(tmp_path, CONF + failure)
    with cloud.running():
        failed = cloud.made(size=1)
        if failed.status == "available":
            failed = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=failed.id)
            cloud.settled(failed.id)
    assert told(cloud) == [(event, failed.id)]
    with cloud.database.begin() as connection:
        assert retention.prune_messages(connection, clock.now()) == 0
        assert retention.prune_messages(connection, clock.after(2592000 + 1)) == 1
    assert told(cloud) == []


@pytest.mark.parametrize(
    ("flow", "error", "event"),
    [
        ("create_volume", ImageUnacceptable(), "VOLUME_VOLUME_005_029"),
        ("create_volume", SignatureRefused(), "VOLUME_VOLUME_005_011"),
        ("create_volume", NotFound(), "VOLUME_VOLUME_008_001"),
        ("create_volume", OverQuota(), "VOLUME_VOLUME_008_006"),
        ("extend_volume", DriverError(), "VOLUME_VOLUME_007_010"),
        ("upload_image", DriverError(), "VOLUME_VOLUME_003_004"),
        ("delete_snapshot", BackendInUse(), "VOLUME_VOLUME_010_015"),
        ("delete_volume", DriverError(), None),
    ],
)
def test_what_is_told(tmp_path, flow, error, event):
    cloud = Cloud(tmp_path, CONF)
    operation = Operation(
        id="o",
        kind=flow,
        resource_type="volume",
        resource_id="v",
        project_id="p",
        user_id="u",
        request_id="r",
        created_at=clock.now(),
    )
    with cloud.database.begin() as connection:
        user_messages.tell(connection, cloud.settings, operation, error)
    assert told(cloud) == ([(event, "v")] if event else [])


def test_every_action_and_detail_has_its_words():
    for action, detail in user_messages._OF_FLOWS.values():
        assert action in ACTIONS
        assert detail in DETAILS
