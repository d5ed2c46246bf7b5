"""An image is hashed once for each place that it lies at; a hash that is wrong leaves nothing."""

import hashlib

import pytest

from breezeblock.images import checksum
from breezeblock.model.image import Image
from tests.cloud import MEMBER, Cloud

MiB = 1 << 20
ID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def cloud(tmp_path):
    conf = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = directory\nimage_volume_cache_enabled = false\n"
    cloud = Cloud(tmp_path, conf)
    with cloud.running():
        yield cloud
    cloud.close()


def image(content: bytes, **fields) -> Image:
    values = {"os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(content).hexdigest()} | fields
    return Image(
        id=ID,
        disk_format="raw",
        container_format="bare",
        size=len(content),
        updated_at="2026-01-01T00:00:00.000000",
        owner=MEMBER.project_id,
        **values,
    )


def test_the_second_create_does_not_hash(cloud, monkeypatch):
    content = b"breeze block" * MiB
    cloud.images.add(image(content), content)
    hashed = []
    new_digest = checksum.new_digest

    def counted(*arguments):
        hashed.append(arguments[0])
        return new_digest(*arguments)

    monkeypatch.setattr(checksum, "new_digest", counted)
    for _ in range(3):
        assert cloud.made(size=1, image_ref=ID).status == "available"
    assert hashed == ["sha512"]
    monkeypatch.setattr(cloud.images, "location", lambda image_id: "elsewhere")
    assert cloud.made(size=1, image_ref=ID).status == "available"
    assert hashed == ["sha512", "sha512"]
