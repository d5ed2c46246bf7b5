"""os-volume_upload_image: what may be asked of which volume, what is answered, and the image that comes of it."""

import msgspec
import pytest

from breezeblock.config import DEFAULT_PROJECT
from breezeblock.context import RequestContext
from breezeblock.db import image_keys, tables
from breezeblock.images.content import open_file
from breezeblock.images.inspect import inspect

ACTION = "os-volume_upload_image"
VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"
ME = RequestContext(user_id="u", project_id=DEFAULT_PROJECT, roles=("member",))
GIB = 1 << 30


@pytest.fixture
def live(api):
    """The API with the engine at work, both on the local image store."""
    cloud = api.cloud
    cloud.backend = msgspec.structs.replace(cloud.backend, images=api.catalog)
    with cloud.running():
        yield api


def act(api, volume_id=VOLUME, version="3.71", **asked):
    return api.post(f"/v3/volumes/{volume_id}/action", {ACTION: asked}, version=version)


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    return next(iter(answer.json.values()))["message"]


def images(api):
    return api.catalog.list_images(RequestContext(user_id="a", project_id="", is_admin=True), everything())


def everything():
    from breezeblock.db.images import ImageQuery

    return ImageQuery(os_hidden=None)


def test_the_answer_has_cinders_keys(api):
    api.insert("volumes", VOLUME, description="d", host="localhost@one#one", size=3)
    answer = act(
        api, image_name="img", disk_format="qcow2", container_format="bare", visibility="shared", protected=True
    )
    assert answer.status_code == 202
    told = answer.json[ACTION]
    (image,) = images(api)
    shown = api.get(f"/v3/volumes/{VOLUME}").json["volume"]
    assert shown["status"] == "uploading"
    assert told == {
        "id": VOLUME,
        "updated_at": shown["updated_at"],
        "status": "uploading",
        "display_description": "d",
        "size": 3,
        "volume_type": None,
        "image_id": image.id,
        "container_format": "bare",
        "disk_format": "qcow2",
        "image_name": "img",
        "protected": True,
        "visibility": "shared",
    }
    assert (image.status, image.owner, image.protected) == ("queued", DEFAULT_PROJECT, True)


def test_the_type_is_told_as_a_record(live):
    kind = live.post(
        "/v3/types", {"volume_type": {"name": "fast", "extra_specs": {"volume_backend_name": "one"}}}
    ).json["volume_type"]
    volume = live.cloud.made(ME, size=1, volume_type="fast")
    told = act(live, volume.id, image_name="img", disk_format="qcow2").json[ACTION]["volume_type"]
    assert told["name"] == "fast"
    assert told["id"] == kind["id"]
    assert "extra_specs" not in told


@pytest.mark.parametrize(("version", "visibility", "protected"), [("3.0", "shared", False), ("3.1", "private", False)])
def test_what_nobody_asked_for(api, version, visibility, protected):
    api.insert("volumes", VOLUME, host="localhost@one#one")
    told = act(api, image_name="img", version=version).json[ACTION]
    assert (told["disk_format"], told["container_format"]) == ("raw", "bare")
    assert (told["visibility"], told["protected"]) == (visibility, protected)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"image_name": ""},
        {"image_name": None},
        {"image_name": "x" * 256},
        {"image_name": "x", "disk_format": "iso"},
        {"image_name": "x", "disk_format": None},
        {"image_name": "x", "disk_format": "vhdx"},
        {"image_name": "x", "disk_format": "ploop"},
        {"image_name": "x", "container_format": "compressed"},
        {"image_name": "x", "container_format": "tin"},
        {"image_name": "x", "container_format": "x" * 256},
        {"image_name": "x", "force": "tt"},
        {"image_name": "x", "force": 11},
        {"image_name": "x", "force": None},
        {"image_name": "x", "visibility": "secret"},
        {"image_name": "x", "protected": "maybe"},
        {"image_name": "x", "colour": "red"},
    ],
)
def test_what_is_no_request(api, asked):
    api.insert("volumes", VOLUME, host="localhost@one#one")
    refused(act(api, **asked))
    assert api.get(f"/v3/volumes/{VOLUME}").json["volume"]["status"] == "available"
    assert images(api) == []


@pytest.mark.parametrize("asked", [{"visibility": "private"}, {"protected": False}])
def test_sharing_came_with_version_3_1(api, asked):
    api.insert("volumes", VOLUME, host="localhost@one#one")
    assert "Additional properties" in refused(act(api, image_name="x", version="3.0", **asked))
    assert act(api, image_name="x", version="3.1", **asked).status_code == 202


@pytest.mark.parametrize(
    "status", ["creating", "error", "uploading", "downloading", "extending", "deleting", "reserved"]
)
def test_a_volume_in_another_status(api, status):
    api.insert("volumes", VOLUME, status=status, host="localhost@one#one")
    assert "status must be available" in refused(act(api, image_name="x", force=True))
    assert images(api) == []


def test_a_volume_in_use_needs_force(api):
    api.insert("volumes", VOLUME, status="in-use", host="localhost@one#one")
    for force in (False, "false", "0"):
        assert "status must be available" in refused(act(api, image_name="x", force=force))
    answer = act(api, image_name="x", force="True")
    assert answer.status_code == 202
    assert answer.json[ACTION]["status"] == "uploading"


def test_force_may_be_switched_off(api):
    api.cloud.settings.default["enable_force_upload"] = False
    api.insert("volumes", VOLUME, status="in-use", host="localhost@one#one")
    assert "status must be available" in refused(act(api, image_name="x", force=True))


def test_an_encrypted_volume_goes_as_it_is(api):
    api.insert("volumes", VOLUME, encryption_key_id=VOLUME, host="localhost@one#one")
    for other in ({"disk_format": "qcow2"}, {"container_format": "ami"}):
        assert "must use 'raw' disk_format and 'bare' container_format" in refused(act(api, image_name="x", **other))
    assert images(api) == []
    assert act(api, image_name="x").status_code == 202
    (image,) = images(api)
    with api.cloud.database.read() as connection:
        assert image_keys.find(connection, image.id).project_id == DEFAULT_PROJECT


def test_a_volume_larger_than_the_format(api):
    api.insert("volumes", VOLUME, size=2041, host="localhost@one#one")
    assert "2040 GiB" in refused(act(api, image_name="x", disk_format="vhd"))
    assert "2040 GiB" in refused(act(api, image_name="x", disk_format="vmdk"))
    assert act(api, image_name="x", disk_format="qcow2").status_code == 202


def test_who_may(api, api_as):
    api.insert("volumes", VOLUME, host="localhost@one#one")
    refused(act(api_as("reader"), image_name="x"), 403)
    refused(act(api_as("member"), image_name="x", visibility="public"), 403)
    other = api_as("member", project="11111111000040008000000000000001")
    refused(act(other, image_name="x"), 404)
    assert images(api) == []
    assert act(api_as("admin"), image_name="x", visibility="public").status_code == 202


def test_no_volume(api):
    refused(act(api, image_name="x"), 404)


def test_an_image_that_the_image_service_refuses(api):
    """Whatever it says against the image is a 400, and the volume is left alone."""
    api.insert(
        "volumes", VOLUME, host="localhost@one#one", image_metadata={"k": "v", "min_ram": "99999999999999999999"}
    )
    refused(act(api, image_name="x", container_format="tin"))
    assert api.get(f"/v3/volumes/{VOLUME}").json["volume"]["status"] == "available"


def test_what_the_volume_remembers_goes_with_it(api):
    kept = {
        "image_id": "old",
        "image_name": "debian",
        "checksum": "c",
        "container_format": "bare",
        "disk_format": "vhd",
        "min_disk": "7",
        "min_ram": "512",
        "size": "100",
        "os_distro": "debian",
        "hw_disk_bus": "virtio",
        "os_glance_import": "x",
        "img_signature": "x",
        "img_signature_hash_method": "x",
        "signature_verified": "True",
        "cinder_encryption_key_id": "x",
        "visibility": "public",
        "owner": "somebody",
    }
    api.insert("volumes", VOLUME, host="localhost@one#one", bootable=True, image_metadata=kept)
    assert act(api, image_name="x").status_code == 202
    (image,) = images(api)
    assert image.properties == {"os_distro": "debian", "hw_disk_bus": "virtio"}
    assert (image.name, image.disk_format, image.min_disk, image.min_ram) == ("x", "raw", 7, 512)
    assert (image.owner, image.visibility) == (DEFAULT_PROJECT, "private")


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk", "vhd", "vdi"])
def test_there_and_back(live, disk_format, tmp_path):
    """The image is what was asked for, and a volume made of it is the volume it was made of."""
    first = live.cloud.made(ME, size=1)
    contents = {0: b"\xeb\x3c" + b"boot" * 1000, GIB - 512: b"the end!" * 64, 300 << 20: b"middle" * 50_000}

    def fill(target):
        for offset, data in contents.items():
            target.pwrite(data, offset)

    live.cloud.driver.copy_image_to_volume(first, "test", fill)
    told = act(live, first.id, image_name="img", disk_format=disk_format).json[ACTION]
    operation = live.cloud.settled(first.id, seconds=200)
    assert (operation.kind, operation.state) == ("upload_image", "succeeded"), operation.message
    assert [(answer.step, answer.outcome) for answer in operation.answers] == [("upload", "done")]
    assert live.get(f"/v3/volumes/{first.id}").json["volume"]["status"] == "available"
    image = live.catalog.get(ME, told["image_id"])
    assert (image.status, image.virtual_size) == ("active", GIB)
    assert operation.answers[0].result["size"] == image.size
    assert operation.bytes_done == operation.bytes_total
    with open_file(live.catalog.local_path(image.id)) as content:
        assert inspect(content, disk_format).virtual_size == GIB
    second = live.cloud.made(ME, size=1, image_ref=image.id)
    assert second.status == "available", live.cloud.settled(second.id).message
    with live.cloud.driver.open_volume(second) as source:
        for offset, data in contents.items():
            assert source.pread(len(data), offset) == data
        assert source.pread(1 << 20, 1 << 20) == bytes(1 << 20)
    live.cloud.check_pairs()


def test_the_api_that_dies_before_the_flow_is_asked_for_leaves_no_image(api, monkeypatch):
    api.insert("volumes", VOLUME, host="localhost@one#one")

    def fail(*args, **more):
        raise RuntimeError("boom")

    monkeypatch.setattr("breezeblock.services.uploads.operations.request_flow", fail)
    assert act(api, image_name="x").status_code == 500
    assert images(api) == []
    assert api.get(f"/v3/volumes/{VOLUME}").json["volume"]["status"] == "available"
    with api.cloud.database.read() as connection:
        assert connection.execute(tables.flow_requests.select()).all() == []
