"""Signed images: none becomes a volume without its signature, whichever rung makes it; each refusal leaves nothing."""

import hashlib
import shutil

import msgspec
import pytest

from breezeblock.images import checksum
from breezeblock.model.image import Image
from tests.cloud import MEMBER, Cloud
from tests.signing import Signer

MiB = 1 << 20
CONTENT = b"breeze block" * MiB
ID = "11111111-2222-4333-8444-555555555555"
CONF = (
    "[DEFAULT]\nenabled_backends = one\n{more}[one]\nvolume_driver = directory\nimage_volume_cache_enabled = {cache}\n"
)


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("signing"))


@pytest.fixture
def make_cloud(tmp_path, signer):
    """A service in `tmp_path`, whose key store has the certificate."""

    def make(cache=False, more=""):
        cloud = Cloud(tmp_path, CONF.format(cache=cache, more=more))
        (tmp_path / "keys").mkdir(exist_ok=True)
        shutil.copy(signer.certificate, tmp_path / "keys")
        return cloud

    return make


def image(signer, content=CONTENT, hash_method="SHA-256", **changes) -> Image:
    properties = signer.properties(CONTENT, hash_method) | changes
    return Image(
        id=ID,
        disk_format="raw",
        container_format="bare",
        size=len(content),
        os_hash_algo="sha512",
        os_hash_value=hashlib.sha512(content).hexdigest(),
        updated_at="2026-01-01T00:00:00.000000",
        owner=MEMBER.project_id,
        properties={name: value for name, value in properties.items() if value},
    )


@pytest.fixture
def hashed(monkeypatch):
    """The algorithms that bytes are hashed by from now on."""
    found = []
    new_digest = checksum.new_digest

    def counted(*arguments):
        found.append(arguments[0])
        return new_digest(*arguments)

    monkeypatch.setattr(checksum, "new_digest", counted)
    return found


def create(cloud, **wanted):
    return cloud.made(size=1, image_ref=ID, **wanted)


def refused(cloud, says):
    """A create ends in `error`, says why, and leaves nothing."""
    volume = create(cloud)
    assert volume.status == "error"
    assert says in cloud.settled(volume.id).message
    assert not [name for name in cloud.driver.list_objects() if volume.id in name]


def rung_of(cloud, volume):
    answers = {one.step: one.outcome for one in cloud.settled(volume.id).answers}
    return [step for step in ("driver_clone", "image_volume", "cached", "download") if answers.get(step) == "made"]


def test_a_signed_image_is_hashed_once_and_judged_each_time(make_cloud, signer, hashed):
    cloud = make_cloud()
    cloud.images.add(image(signer), CONTENT)
    with cloud.running():
        for _ in range(2):
            volume = create(cloud)
            assert (volume.status, volume.image_metadata["signature_verified"]) == ("available", "True")
        assert sorted(hashed) == ["sha256", "sha512"]
        (cloud.settings.data_dir / "keys" / f"{signer.certificate_id}.pem").unlink()
        refused(cloud, "is not in")
        assert sorted(hashed) == ["sha256", "sha512"]


def test_the_checksum_is_the_signed_hash_where_both_are_alike(make_cloud, signer, hashed):
    cloud = make_cloud()
    cloud.images.add(image(signer, hash_method="SHA-512"), CONTENT)
    with cloud.running():
        assert create(cloud).status == "available"
    assert hashed == ["sha512"]


@pytest.mark.parametrize("cache", [False, True])
def test_other_bytes_than_the_signed_ones_are_refused(make_cloud, signer, cache):
    cloud = make_cloud(cache)
    other = CONTENT[:-1] + b"x"
    cloud.images.add(image(signer, other), other)
    with cloud.running():
        refused(cloud, "not made of these bytes")
        assert cloud.count("image_cache_entries") == 0
        assert list(cloud.driver.list_objects()) == []


@pytest.mark.parametrize("missing", ["img_signature", "img_signature_certificate_uuid"])
def test_an_incomplete_signature_is_refused(make_cloud, signer, missing):
    cloud = make_cloud()
    cloud.images.add(image(signer, **{missing: ""}), CONTENT)
    with cloud.running():
        refused(cloud, f"lack {missing}")


def test_an_unsigned_image_passes_and_says_so(make_cloud, signer):
    cloud = make_cloud()
    cloud.images.add(msgspec.structs.replace(image(signer), properties={"signature_verified": "True"}), CONTENT)
    with cloud.running():
        volume = create(cloud)
    assert (volume.status, volume.image_metadata["signature_verified"]) == ("available", "False")


def test_nothing_is_verified_where_that_is_disabled(make_cloud, signer):
    cloud = make_cloud(more="verify_glance_signatures = disabled\n")
    properties = {"img_signature": "", "signature_verified": "True"}
    cloud.images.add(image(signer, **properties), CONTENT)
    with cloud.running():
        volume = create(cloud)
    assert volume.status == "available"
    assert "signature_verified" not in volume.image_metadata


def test_the_issuer_may_have_to_be_trusted(make_cloud, signer):
    cloud = make_cloud(more=f"default_trusted_certificate_ids = {signer.certificate_id}\n")
    cloud.images.add(image(signer), CONTENT)
    with cloud.running():
        assert create(cloud).status == "available"
        stranger = Signer(signer.certificate.parent)
        shutil.copy(stranger.certificate, cloud.settings.data_dir / "keys")
        cloud.images.add(image(stranger), CONTENT)
        refused(cloud, "no certificate that is trusted")


def test_a_clone_of_the_cache_is_judged_by_what_was_hashed_for_it(make_cloud, signer, hashed):
    cloud = make_cloud(cache=True)
    cloud.images.add(image(signer), CONTENT)
    with cloud.running():
        first, second = create(cloud), create(cloud)
        assert [rung_of(cloud, one) for one in (first, second)] == [["cached"], ["cached"]]
        assert second.image_metadata["signature_verified"] == "True"
        assert sorted(hashed) == ["sha256", "sha512"]
        (cloud.settings.data_dir / "keys" / f"{signer.certificate_id}.pem").write_bytes(
            Signer(signer.certificate.parent).certificate.read_bytes()
        )
        refused(cloud, "not made of these bytes")


def test_what_was_cached_unverified_is_fetched_again(make_cloud, signer):
    cloud = make_cloud(cache=True, more="verify_glance_signatures = disabled\n")
    cloud.images.add(image(signer), CONTENT)
    with cloud.running():
        assert create(cloud).status == "available"
    images = cloud.images
    cloud.close()
    cloud = make_cloud(cache=True)
    cloud.images.images, cloud.images.content = images.images, images.content
    with cloud.running():
        volume = create(cloud)
        assert (volume.status, rung_of(cloud, volume)) == ("available", ["cached"])
        assert len(cloud.images.opened) == 1
        assert create(cloud).status == "available"
        assert len(cloud.images.opened) == 1
    cloud.close()


def test_a_file_that_lies_here_is_hashed_before_it_is_shared(make_cloud, signer, tmp_path):
    cloud = make_cloud()
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    cloud.images.add(image(signer), CONTENT, file)
    with cloud.running():
        first = create(cloud)
        assert rung_of(cloud, first) == ["download"]
        second = create(cloud)
    reasons = [
        [one.reason for one in cloud.settled(made.id).answers if one.step == "driver_clone"] for made in (first, second)
    ]
    assert "signed" in reasons[0][0]
    assert "signed" not in reasons[1][0]
