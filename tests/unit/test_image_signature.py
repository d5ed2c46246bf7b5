"""Signatures of images: made by openssl with real keys, judged by the hash of the bytes alone."""

import hashlib
from pathlib import Path

import pytest

from breezeblock.errors import ImageUnacceptable
from breezeblock.images.signature import PROPERTIES, check_of, signature_of
from breezeblock.model.image import Image
from tests.signing import Signer

CONTENT = b"the bytes of an image" * 1000


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signing")


@pytest.fixture(scope="module")
def signer(directory: Path) -> Signer:
    return Signer(directory)


def image(properties: dict[str, str]) -> Image:
    return Image(id="i", properties={"os_distro": "debian"} | properties)


def judge(
    signer: Signer, properties: dict[str, str], content: bytes = CONTENT, trusted: tuple[Signer, ...] = ()
) -> None:
    """As a create does it."""
    signature = signature_of(image(properties))
    assert signature is not None
    check = check_of(signature, signer.certificate.read_bytes(), [one.certificate.read_bytes() for one in trusted])
    check.judge(hashlib.new(check.algorithm, content).digest())


@pytest.mark.parametrize("hash_method", ["SHA-224", "SHA-256", "SHA-384", "SHA-512"])
@pytest.mark.parametrize("key_type", ["RSA-PSS", "DSA", "ECC_SECP384R1", "ECC_SECP521R1"])
def test_what_was_signed_is_accepted_and_nothing_else(directory: Path, key_type: str, hash_method: str) -> None:
    signer = Signer(directory, key_type)
    properties = signer.properties(CONTENT, hash_method)
    judge(signer, properties)
    with pytest.raises(ImageUnacceptable, match="not made of these bytes"):
        judge(signer, properties, CONTENT[:-1] + b"x")
    with pytest.raises(ImageUnacceptable, match="not made of these bytes"):
        judge(Signer(directory, key_type), properties)


@pytest.mark.parametrize("salt", ["max", "digest"])
def test_the_salt_is_as_long_as_it_is(signer: Signer, salt: str) -> None:
    judge(signer, signer.properties(CONTENT, salt=salt))


def test_an_image_without_these_properties_is_not_signed() -> None:
    assert signature_of(image({})) is None


@pytest.mark.parametrize("missing", PROPERTIES)
def test_each_property_is_needed(signer: Signer, missing: str) -> None:
    properties = signer.properties(CONTENT)
    del properties[missing]
    with pytest.raises(ImageUnacceptable, match=f"lack {missing}"):
        signature_of(image(properties))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"img_signature": "not base64!"}, "not base64"),
        ({"img_signature_hash_method": "MD5"}, "img_signature_hash_method is MD5"),
        ({"img_signature_key_type": "RSA"}, "img_signature_key_type is RSA"),
        ({"img_signature_key_type": "ECC_SECT571R1"}, "img_signature_key_type is ECC_SECT571R1"),
        ({"img_signature_certificate_uuid": "../../etc/passwd"}, "no UUID"),
        ({"img_signature_key_type": "DSA"}, "has no key for DSA"),
        ({"img_signature_key_type": "ECC_SECP384R1"}, "has no key for ECC_SECP384R1"),
        ({"img_signature_hash_method": "SHA-512"}, "not made of these bytes"),
        ({"img_signature": "AAAA"}, "not made of these bytes"),
        ({"img_signature": ""}, "not made of these bytes"),
    ],
)
def test_wrong_properties_are_told(signer: Signer, changes: dict[str, str], says: str) -> None:
    with pytest.raises(ImageUnacceptable, match=says):
        judge(signer, signer.properties(CONTENT) | changes)


def test_another_curve_than_named_is_refused(directory: Path) -> None:
    signer = Signer(directory, "ECC_SECP384R1")
    with pytest.raises(ImageUnacceptable, match="has no key for ECC_SECP521R1"):
        judge(signer, signer.properties(CONTENT) | {"img_signature_key_type": "ECC_SECP521R1"})


def test_a_certificate_counts_only_in_its_time(directory: Path) -> None:
    authority = Signer(directory)
    ended = Signer(directory, days=-1, issuer=authority)
    with pytest.raises(ImageUnacceptable, match="was valid until"):
        judge(ended, ended.properties(CONTENT))
    issued = Signer(directory, issuer=Signer(directory, days=-1, issuer=authority))
    with pytest.raises(ImageUnacceptable, match="no certificate that is trusted"):
        judge(issued, issued.properties(CONTENT), trusted=(ended,))


def test_what_is_no_certificate_is_refused(directory: Path) -> None:
    broken = Signer(directory)
    properties = broken.properties(CONTENT)
    for content in (b"", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", b"\x30\x03abc"):
        broken.certificate.write_bytes(content)
        with pytest.raises(ImageUnacceptable, match="cannot be read"):
            judge(broken, properties)


def test_where_some_are_trusted_one_of_them_has_to_be_it_or_its_issuer(directory: Path) -> None:
    authority, other = Signer(directory), Signer(directory, "ECC_SECP384R1")
    issued = Signer(directory, "DSA", issuer=authority)
    properties = issued.properties(CONTENT)
    judge(issued, properties)
    judge(issued, properties, trusted=(other, authority))
    judge(issued, properties, trusted=(issued,))
    with pytest.raises(ImageUnacceptable, match="no certificate that is trusted"):
        judge(issued, properties, trusted=(other,))
    # one that is no authority vouches for itself alone
    below = Signer(directory, issuer=issued)
    with pytest.raises(ImageUnacceptable, match="no certificate that is trusted"):
        judge(below, below.properties(CONTENT), trusted=(issued,))
