"""The image API of the local store, as image clients use it."""

import hashlib
import json
import subprocess

import pytest

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
DATA = {"Content-Type": "application/octet-stream"}
GONE = "0b3d8b1e-0000-4000-8000-00000000000f"


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory):
    """A qcow2 file of 1 MiB."""
    path = tmp_path_factory.mktemp("images") / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    return path.read_bytes()


def made(api, **image):
    answer = api.post("/image/v2/images", {"disk_format": "qcow2", "container_format": "bare", **image}, version=None)
    assert answer.status_code == 201, answer.text
    return answer.json


def patch(api, image, *changes):
    body = json.dumps([dict(zip(("op", "path", "value"), change, strict=False)) for change in changes])
    return api.call("PATCH", f"/image/v2/images/{image}", body, version=None, headers=PATCH)


def get(api, path):
    return api.get(f"/image/v2/{path}", version=None)


@pytest.mark.parametrize("path", ["/image", "/image/", "/image/v2", "/image/v2/"])
def test_versions(api_as, path):
    answer = api_as("nobody").get(path, version=None)
    assert answer.status_code == 300
    assert answer.json["versions"][0]["status"] == "CURRENT"
    assert answer.json["versions"][0]["links"][0]["href"].endswith("/image/v2/")


def test_an_image_from_start_to_end(api, qcow2):
    image = made(api, name="VSA", os_distro="debian", os_type="Linux", min_disk=1, tags=["t"])
    assert (image["status"], image["size"], image["os_type"], image["tags"]) == ("queued", None, "Linux", ["t"])
    assert image["created_at"].endswith("Z")
    assert image["file"] == f"/v2/images/{image['id']}/file"
    assert get(api, f"images/{image['id']}/file").status_code == 204
    sent = api.call("PUT", f"/image{image['file']}", qcow2, version=None, headers=DATA)
    assert (sent.status_code, sent.text) == (204, "")
    shown = get(api, f"images/{image['id']}").json
    assert (shown["status"], shown["size"], shown["virtual_size"]) == ("active", len(qcow2), 1 << 20)
    assert shown["checksum"] == hashlib.md5(qcow2).hexdigest()
    assert shown["os_hash_value"] == hashlib.sha512(qcow2).hexdigest()
    came = get(api, f"images/{image['id']}/file")
    assert (came.content, came.headers["content-length"]) == (qcow2, str(len(qcow2)))
    assert came.headers["content-md5"] == shown["checksum"]
    again = api.call("PUT", f"/image{image['file']}", qcow2, version=None, headers=DATA)
    assert again.status_code == 409
    assert api.delete(f"/image/v2/images/{image['id']}", version=None).status_code == 204
    assert get(api, f"images/{image['id']}").status_code == 404
    assert list((api.cloud.settings.data_dir / "images").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"not a disk", DATA, 400),
        (b"", DATA, 400),
        (b"QFI\xfb" + b"\0" * 600, DATA, 400),
        (b"x", {"Content-Type": "application/json"}, 415),
    ],
)
def test_data_that_are_refused_leave_nothing(api, content, headers, status):
    image = made(api)
    answer = api.call("PUT", f"/image{image['file']}", content, version=None, headers=headers)
    assert answer.status_code == status, answer.text
    assert get(api, f"images/{image['id']}").json["status"] == "queued"
    assert list((api.cloud.settings.data_dir / "images").iterdir()) == []


def test_a_client_that_goes_away_leaves_nothing(api, qcow2):
    image = made(api)
    more = DATA | {"Content-Length": str(len(qcow2) + 1)}
    answer = api.call("PUT", f"/image{image['file']}", qcow2, version=None, headers=more)
    assert answer.status_code == 400
    assert get(api, f"images/{image['id']}").json["status"] == "queued"


def test_patches(api):
    image = made(api, name="a", x="1")["id"]
    changed = patch(
        api, image, ("replace", "/name", "b"), ("add", "/y~1z", "2"), ("remove", "/x"), ("add", "/tags", ["u"])
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json["name"], changed.json["y/z"], changed.json["tags"]) == ("b", "2", ["u"])
    assert "x" not in changed.json
    for change, status in [
        (("replace", "/status", "active"), 403),
        (("remove", "/name"), 403),
        (("remove", "/nothing"), 400),
        (("add", "/n", 1), 400),
        (("add", "name", "x"), 400),
        (("add", "/a/b", "x"), 400),
        (("move", "/name", "x"), 400),
        (("add", "/min_disk", "much"), 400),
        (("add", "/name"), 400),
    ]:
        assert patch(api, image, change).status_code == status, change
    assert api.call("PATCH", f"/image/v2/images/{image}", "[]", version=None).status_code == 415


def test_tags(api):
    image = made(api)["id"]
    assert api.call("PUT", f"/image/v2/images/{image}/tags/t", version=None).status_code == 204
    assert get(api, f"images/{image}").json["tags"] == ["t"]
    assert api.delete(f"/image/v2/images/{image}/tags/t", version=None).status_code == 204
    assert api.delete(f"/image/v2/images/{image}/tags/t", version=None).status_code == 404


def test_lists(api):
    ids = [made(api, name=name, os_type=kind)["id"] for name, kind in [("a", "x"), ("b", "x"), ("c", "y")]]
    assert [one["name"] for one in get(api, "images?sort=name:asc").json["images"]] == ["a", "b", "c"]
    assert [one["name"] for one in get(api, "images?sort_key=name&sort_dir=desc").json["images"]] == ["c", "b", "a"]
    assert [one["name"] for one in get(api, "images?os_type=x&name=b").json["images"]] == ["b"]
    assert [one["id"] for one in get(api, f"images?id=in:{ids[2]}").json["images"]] == [ids[2]]
    first = get(api, "images?limit=2&sort=name:asc").json
    assert [one["name"] for one in first["images"]] == ["a", "b"]
    assert [one["name"] for one in get(api, first["next"].removeprefix("/v2/")).json["images"]] == ["c"]
    for wrong in ("limit=x", "marker=x", "sort=nothing", "size_min=x", "protected=x", "name=%00"):
        assert get(api, f"images?{wrong}").status_code == 400, wrong


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ({"status": "active"}, 403),
        ({"disk_format": "floppy"}, 400),
        ({"x": 1}, 400),
        ({"id": "x"}, 400),
        ({"id": 1}, 400),
        ({"name": 1}, 400),
        ({"min_disk": -1}, 400),
        ({"": "x"}, 400),
        ({"x" * 300: "y"}, 400),
        ({"visibility": "x"}, 400),
    ],
)
def test_images_that_are_refused(api, image, status):
    answer = api.post("/image/v2/images", image, version=None)
    assert answer.status_code == status, answer.text


def test_images_of_others(api_as):
    mine = made(api_as("member", project="mine"), name="a")["id"]
    other = api_as("member", project="other")
    assert get(other, f"images/{mine}").status_code == 404
    assert get(other, "images").json["images"] == []
    assert other.delete(f"/image/v2/images/{mine}", version=None).status_code == 404
    assert api_as("reader").post("/image/v2/images", {}, version=None).status_code == 403


def test_schemas(api):
    assert get(api, "schemas/image").json["name"] == "image"
    assert get(api, "schemas/images").json["name"] == "images"


def test_a_volume_of_an_image_by_name(api, qcow2):
    image = made(api, name="disk")
    api.call("PUT", f"/image{image['file']}", qcow2, version=None, headers=DATA)
    made(api, name="two")
    made(api, name="two")
    assert api.post("/v3/volumes", {"volume": {"size": 1, "imageRef": "disk"}}).status_code == 202
    assert api.post("/v3/volumes", {"volume": {"size": 1, "image_id": image["id"]}}).status_code == 202
    assert api.post("/v3/volumes", {"volume": {"size": 1, "imageRef": "two"}}).status_code == 409
    assert api.post("/v3/volumes", {"volume": {"imageRef": "disk"}}).status_code == 400
