"""The published walkthrough of Cinder's `create_volume.py`, fed through our flow.

Its inputs: volume `zd2`, 10 GiB, on `jenkins@DS01#DS02`, of the image `VSA`, a vhd in a bare container whose location is
`(None, None)`; the driver answers an opaque provider_location. Each row of the table is one way through the ladder.
"""

import logging
import subprocess

import msgspec
import pytest

from breezeblock.db import migrate, moves, volumes
from breezeblock.keys.store import passphrase
from breezeblock.model import clock
from breezeblock.model.image import Image, ImageLocation
from breezeblock.model.volume import Volume
from breezeblock.services.encryption import create_encryption
from tests import encrypted
from tests.cloud import MEMBER, Cloud

LOCATION = (
    "addr=10.0.0.1,uri=/service/sites/4A5B08BE/volumes/72,urn=urn:sites:4A5B08BE:volumes:72,isThin=True,type=normal"
)
IMAGE_ID = "7961d3a9-4e0b-4f5f-9b1f-6c4f7a6a0a11"
SOURCE_ID = "c3b1b3d5-77a8-4b5e-8a53-0e3a4f6f0c22"
CONF = f"""
[DEFAULT]
host = jenkins
enabled_backends = DS01
{{default}}
[DS01]
volume_driver = simulated
pool_name = DS02
simulated_provider_location = "{LOCATION}"
image_volume_cache_enabled = {{cache}}
simulated_clone_image = {{clone}}
"""
MIB = 1 << 20
CONTENT = b"".join(bytes([number]) * MIB for number in (7, 0, 9)) + bytes(5 * MIB)


@pytest.fixture(scope="module")
def vhd(tmp_path_factory):
    """The image's file: a small disk as vhd."""
    folder = tmp_path_factory.mktemp("vsa")
    (folder / "raw").write_bytes(CONTENT)
    target = folder / "VSA.vhd"
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", folder / "raw", target], check=True
    )
    return target.read_bytes()


@pytest.fixture
def start(tmp_path, vhd):
    """Starts the walkthrough's cloud: `start(default="", cache=False, clone=False)`."""
    clouds = []

    def begin(default="", cache=False, clone=False, **image):
        cloud = Cloud(tmp_path, CONF.format(default=default, cache=cache, clone=clone))
        clouds.append(cloud)
        cloud.images.add(vsa(len(vhd), **image), vhd)
        watch(cloud)
        return cloud

    yield begin
    for cloud in clouds:
        cloud.close()


def vsa(size, **changes):
    image = Image(
        id=IMAGE_ID,
        name="VSA",
        disk_format="vhd",
        container_format="bare",
        size=size,
        min_disk=0,
        min_ram=0,
        owner="project",
        properties={"os_distro": "ubuntu", "os_type": "Linux"},
        created_at="2016-12-01T00:00:00.000000",
        updated_at="2016-12-01T00:00:00.000000",
    )
    return msgspec.structs.replace(image, **changes)


def watch(cloud):
    """Note the volume's status in the database at each call of the driver."""
    cloud.seen = []
    before = cloud.driver.faults.before

    def noting(verb, arguments):
        volume = next((one for one in arguments if isinstance(one, Volume)), None)
        if volume is not None:
            with cloud.database.read() as connection:
                row = volumes.find(connection, volume.id)
            cloud.seen.append((verb, volume.name, volume.size, row.status if row else None))
        before(verb, arguments)

    cloud.driver.faults.before = noting


def zd2(cloud, **wanted):
    """Make the walkthrough's volume and return it settled."""
    volume = cloud.create(MEMBER, name="zd2", size=10, image_ref=IMAGE_ID, **wanted)
    with cloud.running():
        cloud.settled(volume.id)
    return cloud.volume(volume.id)


def answers(cloud, volume):
    (operation,) = cloud.operations(volume.id)
    return [(one.step, one.outcome) for one in operation.answers if one.step != "placement"]


def reasons(cloud, volume):
    (operation,) = cloud.operations(volume.id)
    return {one.step: one.reason for one in operation.answers if one.step != "placement"}


def content(cloud, volume):
    with cloud.driver.open_volume(volume) as source:
        assert source.size == 10 << 30
        return source.pread(len(CONTENT) + MIB, 0)


def check_made(cloud, volume):
    """What holds at the end whichever rung made it."""
    assert (volume.status, volume.host, volume.size) == ("available", "jenkins@DS01#DS02", 10)
    assert volume.provider_location == LOCATION
    assert volume.bootable
    assert volume.launched_at
    assert volume.image_metadata == {
        "image_id": IMAGE_ID,
        "image_name": "VSA",
        "container_format": "bare",
        "disk_format": cloud.images.images[IMAGE_ID].disk_format,
        "min_disk": "0",
        "signature_verified": "False",
        "min_ram": "0",
        "size": str(cloud.images.images[IMAGE_ID].size),
        "os_distro": "ubuntu",
        "os_type": "Linux",
    }
    assert content(cloud, volume) == CONTENT + bytes(MIB)


def image_volume(cloud, **changes):
    """A raw volume of the service that holds the image: rung 2's source."""
    source = Volume(
        id=SOURCE_ID,
        project_id="project",
        user_id="user",
        name="image volume",
        size=1,
        status="creating",
        host="jenkins@DS01#DS02",
        created_at=clock.now(),
    )
    source = msgspec.structs.replace(source, **changes)
    cloud.driver.create_volume(source)
    cloud.driver.copy_image_to_volume(source, "made by the test", lambda target: target.pwrite(CONTENT, 0))
    with cloud.database.begin() as connection:
        volumes.insert(connection, source)
        moves.move(connection, "volume", source.id, "create_done")
    cloud.seen.clear()


RAW_IN_CINDER = {
    "disk_format": "raw",
    "locations": [ImageLocation(url=f"cinder://{SOURCE_ID}")],
}


def test_every_rung_declines_but_the_download(start):
    cloud = start()
    volume = zd2(cloud)
    check_made(cloud, volume)
    assert cloud.seen == [
        ("create_volume", "zd2", 1, "downloading"),
        ("copy_image_to_volume", "zd2", 1, "downloading"),
        ("extend_volume", "zd2", 1, "downloading"),
        ("open_volume", "zd2", 10, "available"),
    ]
    assert answers(cloud, volume) == [
        ("driver_clone", "declined"),
        ("image_volume", "declined"),
        ("cached", "declined"),
        ("download", "made"),
        ("bootable", "made"),
    ]
    assert cloud.images.opened == [IMAGE_ID]


def test_made_small_then_extended(start):
    cloud = start()
    volume = zd2(cloud)
    calls = {call.verb: call for call in cloud.driver.calls if volume.id in call.ids}
    assert calls["create_volume"].size == 1
    assert calls["copy_image_to_volume"].values == (f"image:{IMAGE_ID}:2016-12-01T00:00:00.000000",)
    assert (calls["extend_volume"].size, calls["extend_volume"].values) == (1, (10,))


def test_the_driver_clones_the_image(start):
    cloud = start(clone=True)
    (cloud.driver.images / IMAGE_ID).write_bytes(CONTENT)
    volume = zd2(cloud)
    check_made(cloud, volume)
    assert cloud.seen[:1] == [("clone_image", "zd2", 10, "creating")]
    (call,) = [call for call in cloud.driver.calls if call.verb == "clone_image"]
    assert call.ids == (volume.id, IMAGE_ID)
    assert call.values == (None,)
    assert answers(cloud, volume) == [("driver_clone", "made"), ("bootable", "made")]
    assert cloud.images.opened == []


def test_the_image_is_a_volume(start):
    cloud = start(default="allowed_direct_url_schemes = cinder", **RAW_IN_CINDER)
    image_volume(cloud)
    volume = zd2(cloud)
    check_made(cloud, volume)
    assert cloud.seen[:1] == [("create_cloned_volume", "zd2", 10, "creating")]
    (call,) = [call for call in cloud.driver.calls if call.verb == "create_cloned_volume"]
    assert call.ids == (volume.id, SOURCE_ID)
    assert answers(cloud, volume) == [("driver_clone", "declined"), ("image_volume", "made"), ("bootable", "made")]


@pytest.mark.parametrize(
    ("project", "metadata", "may"),
    [
        ("project", {}, True),
        ("service", {"image_owner": "stranger"}, True),
        ("service", {"image_owner": "somebody else"}, False),
        ("service", {}, False),
    ],
)
def test_cinders_owner_check_of_image_volumes(start, project, metadata, may):
    """The image belongs to the project, or the image-volume says in `image_owner` whose image it is."""
    owner = "project" if project == "project" else "stranger"
    cloud = start(default="allowed_direct_url_schemes = cinder", owner=owner, **RAW_IN_CINDER)
    image_volume(cloud, project_id=project, metadata=metadata)
    cloud.images.images[IMAGE_ID] = msgspec.structs.replace(cloud.images.images[IMAGE_ID], disk_format="raw")
    cloud.images.content[IMAGE_ID] = CONTENT
    cloud.images.images[IMAGE_ID] = msgspec.structs.replace(cloud.images.images[IMAGE_ID], size=len(CONTENT))
    volume = zd2(cloud)
    assert volume.status == "available"
    assert (("image_volume", "made") in answers(cloud, volume)) is may
    if not may:
        assert "not accessible" in reasons(cloud, volume)["image_volume"]


def test_the_cache_is_filled_then_used(start):
    cloud = start(cache=True)
    first = zd2(cloud)
    check_made(cloud, first)
    entry = next(name for verb, name, *_ in cloud.seen if verb == "create_volume")
    assert entry == f"image-{IMAGE_ID}"
    assert [(verb, name, size) for verb, name, size, _ in cloud.seen[:3]] == [
        ("create_volume", entry, 1),
        ("copy_image_to_volume", entry, 1),
        ("create_cloned_volume", "zd2", 10),
    ]
    assert answers(cloud, first)[2:] == [("wait", "waited"), ("cached", "made"), ("bootable", "made")]
    cloud.seen.clear()
    second = zd2(cloud)
    check_made(cloud, second)
    assert cloud.seen[:1] == [("create_cloned_volume", "zd2", 10, "creating")]
    assert cloud.images.opened == [IMAGE_ID], "the second volume costs no download"


def test_cinder_is_not_among_the_schemes(start):
    cloud = start(**RAW_IN_CINDER)
    image_volume(cloud)
    cloud.images.content[IMAGE_ID] = CONTENT
    cloud.images.images[IMAGE_ID] = msgspec.structs.replace(cloud.images.images[IMAGE_ID], size=len(CONTENT))
    volume = zd2(cloud)
    assert answers(cloud, volume)[1] == ("image_volume", "declined")
    assert "allowed_direct_url_schemes" in reasons(cloud, volume)["image_volume"]
    assert answers(cloud, volume)[3] == ("download", "made")


def test_no_internal_tenant_is_logged_and_goes_on(start, caplog):
    caplog.set_level(logging.INFO)
    cloud = start(default="cinder_internal_tenant_project_id =", cache=True)
    volume = zd2(cloud)
    check_made(cloud, volume)
    assert "no internal tenant" in caplog.text
    assert answers(cloud, volume)[2:4] == [("cached", "declined"), ("download", "made")]


def test_an_encrypted_volume_is_never_a_clone_nor_written_in_plain(start, tmp_path):
    """Rung 1 is skipped, 2 and 3 decline; what is downloaded is encrypted on its way."""
    cloud = start(default="allowed_direct_url_schemes = cinder", cache=True, clone=True)
    (cloud.driver.images / IMAGE_ID).write_bytes(CONTENT)
    specs = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 256}
    create_encryption(cloud.database, migrate.DEFAULT_TYPE_ID, **specs)
    volume = zd2(cloud)
    told = reasons(cloud, volume)
    assert [step for step, outcome in answers(cloud, volume) if outcome == "declined"] == [
        "driver_clone",
        "image_volume",
        "cached",
    ]
    assert all("encrypted" in told[step] for step in ("driver_clone", "image_volume", "cached"))
    assert "clone_image" not in {call.verb for call in cloud.driver.calls}
    assert volume.status == "available"
    with cloud.driver.open_volume(volume) as source:
        container = encrypted.dump(source, tmp_path / "container")
    key = passphrase(cloud.backend.keys.get(volume.encryption_key_id))
    assert encrypted.inside(container, key, len(CONTENT) // MIB + 1)[: len(CONTENT)] == CONTENT
    assert list(encrypted.files_with(CONTENT[:64], cloud.driver.volumes.root)) == []


def test_a_disk_larger_than_the_volume_leaves_nothing(start, tmp_path):
    """The image service does not tell the virtual size; the header does, and the volume is not even begun."""
    large = tmp_path / "large.vhd"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", large, "2G"], check=True)
    cloud = start()
    cloud.images.content[IMAGE_ID] = large.read_bytes()
    cloud.images.images[IMAGE_ID] = msgspec.structs.replace(cloud.images.images[IMAGE_ID], size=large.stat().st_size)
    volume = cloud.create(MEMBER, name="zd2", size=1, image_ref=IMAGE_ID)
    with cloud.running():
        operation = cloud.settled(volume.id)
    assert cloud.volume(volume.id).status == "error"
    assert "ask for a volume of at least 3 GiB" in operation.message
    assert "create_volume" not in {call.verb for call in cloud.driver.calls}
    assert list(cloud.driver.list_objects()) == []


def test_a_broken_image_leaves_nothing(start, vhd):
    cloud = start()
    cloud.images.content[IMAGE_ID] = vhd[: len(vhd) // 2]
    volume = zd2(cloud)
    assert volume.status == "error"
    assert cloud.operations(volume.id)[0].message
    assert list(cloud.driver.list_objects()) == []
