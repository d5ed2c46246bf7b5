"""Signatures of images, as Glance defines them: four properties, and a certificate in the key manager.

The signature is over the image's bytes, so a hash that was computed while they came is enough to judge it. Names,
key types and rules are those of OpenStack's `cursive`, which verifies what it has read in full and cannot take up a
hash, needs Barbican, and knows neither a certificate's end nor its curve.
"""

import base64
import binascii
import datetime
import uuid
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils

from breezeblock.errors import SignatureRefused
from breezeblock.images.checksum import Check
from breezeblock.model.image import Image

PROPERTIES = (
    "img_signature",
    "img_signature_hash_method",
    "img_signature_key_type",
    "img_signature_certificate_uuid",
)

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "SHA-224": hashes.SHA224,
    "SHA-256": hashes.SHA256,
    "SHA-384": hashes.SHA384,
    "SHA-512": hashes.SHA512,
}
_CURVES = ("SECP384R1", "SECP521R1")
"""Glance names binary curves too (`ECC_SECT571K1` and its like), which the cryptography library has given up."""
KEY_TYPES = ("RSA-PSS", "DSA", *(f"ECC_{curve}" for curve in _CURVES))


class ImageSignature(msgspec.Struct, frozen=True, kw_only=True):
    """What an image's properties say of its signature; well formed, not judged."""

    value: bytes
    hash_method: str
    key_type: str
    certificate_id: str

    @property
    def algorithm(self) -> str:
        """hashlib's name of the hash."""
        return self.hash_method.replace("-", "").lower()


def signature_of(image: Image) -> ImageSignature | None:
    """The image's signature, or None where no property tells of any.

    Raises:
        SignatureRefused: properties are missing, or say what nobody can verify.
    """
    found = {name: image.properties.get(name) for name in PROPERTIES}
    missing = [name for name, value in found.items() if value is None]
    if len(missing) == len(PROPERTIES):
        return None
    if missing:
        raise _refused(f"its properties lack {', '.join(missing)}")
    signature, method, key_type, certificate_id = (str(found[name]) for name in PROPERTIES)
    if method not in _HASHES:
        raise _refused(f"img_signature_hash_method is {method}; known are {', '.join(_HASHES)}")
    if key_type not in KEY_TYPES:
        raise _refused(f"img_signature_key_type is {key_type}; known are {', '.join(KEY_TYPES)}")
    try:
        value = base64.b64decode("".join(signature.split()), validate=True)
    except binascii.Error:
        raise _refused("img_signature is not base64") from None
    try:
        known_as = str(uuid.UUID(certificate_id))
    except ValueError:
        raise _refused("img_signature_certificate_uuid is no UUID") from None
    return ImageSignature(value=value, hash_method=method, key_type=key_type, certificate_id=known_as)


def check_of(signature: ImageSignature, encoded: bytes, trusted: Sequence[bytes] = ()) -> Check:
    """The check that who owns a certificate (PEM or DER) has signed an image.

    Of `trusted` certificates, where there are any, one has to be it, or to have issued it.

    Raises:
        SignatureRefused: the certificate is not valid now, not trusted, or not for such signatures.
    """
    certificate = _read(encoded, signature.certificate_id)
    _require_valid_now(certificate, signature.certificate_id)
    if trusted:
        _require_trusted(certificate, [_read(one, "that is trusted") for one in trusted], signature.certificate_id)
    key = certificate.public_key()
    if not _is_of_type(key, signature.key_type):
        raise _refused(f"the certificate {signature.certificate_id} has no key for {signature.key_type}")

    def judge(digest: bytes) -> None:
        try:
            _verify(key, signature, digest)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
            raise _refused(
                f"it was not made of these bytes with the key of the certificate {signature.certificate_id}"
            ) from error

    return Check(signature.algorithm, judge)


def _verify(key: object, signature: ImageSignature, digest: bytes) -> None:
    algorithm = _HASHES[signature.hash_method]()
    hashed = utils.Prehashed(algorithm)
    if isinstance(key, rsa.RSAPublicKey):
        # as signed: by Glance's rule the longest salt, by newer versions of openssl one as long as the hash
        pss = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.AUTO)
        key.verify(signature.value, digest, pss, hashed)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature.value, digest, ec.ECDSA(hashed))
    elif isinstance(key, dsa.DSAPublicKey):
        key.verify(signature.value, digest, hashed)
    else:
        raise UnsupportedAlgorithm(type(key).__name__)


def _is_of_type(key: object, key_type: str) -> bool:
    if key_type == "RSA-PSS":
        return isinstance(key, rsa.RSAPublicKey)
    if key_type == "DSA":
        return isinstance(key, dsa.DSAPublicKey)
    return isinstance(key, ec.EllipticCurvePublicKey) and key_type == f"ECC_{key.curve.name.upper()}"


def _read(encoded: bytes, name: str) -> x509.Certificate:
    try:
        if encoded.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(encoded)
        return x509.load_der_x509_certificate(encoded)
    except ValueError as error:
        raise _refused(f"the certificate {name} cannot be read") from error


def _require_valid_now(certificate: x509.Certificate, name: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        raise _refused(f"the certificate {name} is valid from {certificate.not_valid_before_utc} on only")
    if now > certificate.not_valid_after_utc:
        raise _refused(f"the certificate {name} was valid until {certificate.not_valid_after_utc}")


def _require_trusted(certificate: x509.Certificate, trusted: Sequence[x509.Certificate], name: str) -> None:
    if certificate in trusted or any(_has_issued(one, certificate) for one in trusted):
        return
    raise _refused(f"no certificate that is trusted (default_trusted_certificate_ids) has issued {name}")


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        _require_valid_now(issuer, "of the issuer")
        certificate.verify_directly_issued_by(issuer)
        extensions = issuer.extensions
        return (
            extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            and extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        )
    except (SignatureRefused, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def _refused(why: str) -> SignatureRefused:
    return SignatureRefused(f"The image's signature cannot be accepted: {why}.")
