"""What is verified of an image before a volume of it is used, and the note that spares later creates the hashing.

The hashes that an image's bytes were found to have, where they lie, are noted, and those bytes are not hashed again. A
signature is judged for each volume all the same: by the certificate as it is now, and the hash that was noted.
"""

from breezeblock.config import Settings
from breezeblock.db import verified_images
from breezeblock.flows.engine import Flow
from breezeblock.images.checksum import Check, checks_of, expected
from breezeblock.images.signature import ImageSignature, check_of, signature_of
from breezeblock.model.image import Image

SIGNED_HASH = "signed_hash"
"""In the admin metadata of a volume in the image cache: the hash by which its image's signature was judged."""


def required(settings: Settings, image: Image) -> ImageSignature | None:
    """The signature that has to be verified, or None. Raises `ImageUnacceptable` where it is incomplete."""
    return signature_of(image) if settings.verify_glance_signatures == "enabled" else None


def signature_check(flow: Flow, image: Image) -> Check | None:
    """The check of the image's signature, by its certificate, or None.

    Raises:
        ImageUnacceptable: the signature or the certificate is not good.
        KeyManagerError: the certificate is not there.
    """
    settings, keys = flow.backend.settings, flow.backend.keys
    signature = required(settings, image)
    if signature is None:
        return None
    trusted = [keys.certificate(one) for one in settings.default_trusted_certificate_ids]
    return check_of(signature, keys.certificate(signature.certificate_id), trusted)


def why_unverified(flow: Flow, image: Image) -> str | None:
    """Why a volume of the image may not be used before all its bytes were read, or None. Raises as `signature_check`."""
    if required(flow.backend.settings, image) is None or not Verification(flow, image).checks:
        return None
    return "the image is signed, and its bytes were not hashed here yet"


class Verification:
    """What has still to be checked of an image's bytes (`checks`), and the note of what was."""

    def __init__(self, flow: Flow, image: Image, *, with_signature: bool = True) -> None:
        """Raises as `signature_check`, and where the signature is not that of what was hashed before."""
        self._flow = flow
        self._place = (image.id, flow.backend.images.location(image.id))
        self._expected = expected(image)
        self._known = self._noted()
        self._found = dict(self._known)
        self._signature = signature_check(flow, image) if with_signature else None
        signed = () if self._signature is None else (self._signature,)
        for check in signed:
            if check.algorithm in self._known:
                check.judge(bytes.fromhex(self._known[check.algorithm]))
        wanted = (*checks_of(image), *signed)
        self.checks = tuple(self._recorded(check) for check in wanted if check.algorithm not in self._known)

    @property
    def signed_hash(self) -> str | None:
        """`algorithm:value` by which the signature was judged, once it was; None where there is none."""
        algorithm = self._signature.algorithm if self._signature is not None else ""
        return f"{algorithm}:{self._found[algorithm]}" if algorithm in self._found else None

    def remember(self) -> None:
        """Write the note, after a transfer that went through to its end, checks included."""
        if self._expected is None:
            return
        found = self._found | dict([self._expected])
        if found != self._known:
            note = " ".join(f"{algorithm}:{value}" for algorithm, value in found.items())
            with self._flow.saving() as connection:
                verified_images.remember(connection, *self._place, note)

    def _noted(self) -> dict[str, str]:
        with self._flow.backend.database.read() as connection:
            note = verified_images.noted(connection, *self._place) or ""
        hashes = dict(pair.split(":") for pair in note.split())
        # another content had another checksum
        return hashes if self._expected is not None and self._expected in hashes.items() else {}

    def _recorded(self, check: Check) -> Check:
        def judge(found: bytes) -> None:
            check.judge(found)
            self._found[check.algorithm] = found.hex()

        return Check(check.algorithm, judge)
