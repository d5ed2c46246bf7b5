"""A volume gets the content of an image in the place of its own."""

import uuid

import pytest

from breezeblock.db import moves, tables
from breezeblock.errors import Conflict, InvalidInput, InvalidState, NotFound
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.services import attachments, snapshots
from breezeblock.services.reimage import reimage_volume
from tests.cloud import MEMBER, Cloud

MIB = 1 << 20
SECTIONS = {"simulated": "volume_driver = simulated\n", "directory": "volume_driver = directory\n"}


@pytest.fixture(params=list(SECTIONS))
def cloud(request, tmp_path):
    cloud = Cloud(tmp_path, "[DEFAULT]\nenabled_backends = one\n[one]\n" + SECTIONS[request.param])
    with cloud.running():
        yield cloud
    cloud.close()


def image(cloud, content, **more):
    fields = {"disk_format": "raw", "container_format": "bare", "status": "active", "size": len(content)}
    return cloud.images.add(Image(id=str(uuid.uuid4()), **fields | more), content)


def reimage(cloud, volume, made, **more):
    reimage_volume(cloud.database, cloud.images, MEMBER, volume.id, made.id, **more)
    return cloud.settled(volume.id)


def read(cloud, thing, length=2 * MIB):
    with cloud.driver.open_volume(thing) as source:
        return source.pread(length, 0)


def test_it_holds_the_image_and_zeros_behind_it(cloud):
    old = image(cloud, b"o" * 2 * MIB, properties={"os_distro": "old", "hw_machine_type": "q35"})
    new = image(cloud, b"n" * MIB, properties={"os_distro": "new"})
    volume = cloud.made(size=1, image_ref=old.id)
    snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
    cloud.settled(snapshot.id)
    operation = reimage(cloud, volume, new)
    assert (operation.kind, operation.state) == ("reimage_volume", "succeeded"), operation
    assert read(cloud, volume) == b"n" * MIB + bytes(MIB)
    assert read(cloud, snapshot) == b"o" * 2 * MIB
    volume = cloud.volume(volume.id)
    assert (volume.status, volume.bootable, volume.image_metadata["os_distro"]) == ("available", True, "new")
    assert "hw_machine_type" not in volume.image_metadata
    told = [event.type for event in cloud.events() if event.operation_id == operation.id]
    assert told == ["volume.reimage.start", "volume.reimage.end"]


def test_the_same_image_is_written_again(cloud):
    made = image(cloud, b"i" * MIB)
    volume = cloud.made(size=1, image_ref=made.id)
    for _ in range(2):
        cloud.driver.copy_image_to_volume(volume, f"test:{uuid.uuid4()}", lambda to: to.pwrite(b"changed", 0))
        reimage(cloud, volume, made)
        assert read(cloud, volume, MIB) == b"i" * MIB


def test_a_reserved_volume_stays_reserved(cloud):
    made = image(cloud, b"i" * MIB)
    volume = cloud.made(size=1)
    attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id)
    with pytest.raises(InvalidState, match="must be available or error, but current status is reserved"):
        reimage(cloud, volume, made)
    assert reimage(cloud, volume, made, reserved_too=True).state == "succeeded"
    assert cloud.volume(volume.id).status == "reserved"
    assert read(cloud, volume, MIB) == b"i" * MIB


def test_what_is_refused_leaves_the_volume_alone(cloud):
    volume = cloud.made(size=1)
    with pytest.raises(InvalidInput, match="minDisk"):
        reimage(cloud, volume, image(cloud, b"i", min_disk=2))
    with pytest.raises(InvalidInput, match="larger than volume size"):
        reimage(cloud, volume, image(cloud, b"i", virtual_size=2 << 30))
    with pytest.raises(InvalidInput, match="not active"):
        reimage(cloud, volume, image(cloud, b"i", status="queued"))
    with pytest.raises(NotFound):
        reimage(cloud, volume, Image(id=str(uuid.uuid4())))
    assert cloud.volume(volume.id).status == "available"


def test_not_while_several_servers_have_it(cloud):
    volume = cloud.made(size=1)
    row = {"volume_id": volume.id, "project_id": "p", "attach_mode": "rw", "attach_status": "reserved"}
    with cloud.database.begin() as connection:
        for name in ("a", "b"):
            connection.execute(tables.attachments.insert(), {**row, "id": name, "created_at": clock.now()})
    with pytest.raises(Conflict):
        reimage(cloud, volume, image(cloud, b"i"))
    with cloud.database.begin() as connection:
        connection.execute(tables.attachments.delete())


def test_an_image_that_is_not_what_it_says(cloud):
    """The volume is in error, as with Cinder, and from there another image makes it good: its status then stays."""
    volume = cloud.made(size=1)
    operation = reimage(cloud, volume, image(cloud, b"no qcow2" * 1000, disk_format="qcow2"))
    assert operation.state == "failed"
    assert cloud.volume(volume.id).status == "error"
    assert reimage(cloud, volume, image(cloud, b"i" * MIB)).state == "succeeded"
    assert cloud.volume(volume.id).status == "error"
    assert read(cloud, volume, MIB) == b"i" * MIB
    with cloud.database.begin() as connection:
        moves.move(connection, "volume", volume.id, "reset_status", "available")
