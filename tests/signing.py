"""Signed images, as Glance's documentation has them made: keys, certificates and signatures by openssl."""

import base64
import subprocess
import uuid
from pathlib import Path

KEYS = {
    "RSA-PSS": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "DSA": ["genpkey", "-paramfile", "dsa.parameters"],
    "ECC_SECP384R1": ["ecparam", "-genkey", "-noout", "-name", "secp384r1"],
    "ECC_SECP521R1": ["ecparam", "-genkey", "-noout", "-name", "secp521r1"],
}
DSA_PARAMETERS = ["genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:2048"]


class Signer:
    """A key with its certificate, in files of a directory; the certificate is also where the local key store looks."""

    def __init__(self, directory: Path, key_type: str = "RSA-PSS", *, days: int = 2, issuer: "Signer | None" = None):
        self.key_type = key_type
        self.certificate_id = str(uuid.uuid4())
        self._directory = directory
        self._key = directory / f"{self.certificate_id}.key"
        self.certificate = directory / f"{self.certificate_id}.pem"
        directory.mkdir(exist_ok=True)
        if key_type == "DSA" and not (directory / "dsa.parameters").exists():
            self._run(*DSA_PARAMETERS, "-out", "dsa.parameters")
        self._run(*KEYS[key_type], "-out", self._key)
        name = ["-subj", f"/CN={self.certificate_id}"]
        if issuer is None:
            made: list[str | Path] = ["req", "-x509", "-new", "-key", self._key, "-days", f"{days}", *name]
            usage = ["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]
            self._run(*made, *usage, "-out", self.certificate)
            return
        request = directory / f"{self.certificate_id}.request"
        self._run("req", "-new", "-key", self._key, *name, "-out", request)
        by: list[str | Path] = ["-CA", issuer.certificate, "-CAkey", issuer._key, "-CAcreateserial"]
        self._run("x509", "-req", "-in", request, *by, "-days", str(days), "-out", self.certificate)

    def properties(self, content: bytes, hash_method: str = "SHA-256", salt: str = "max") -> dict[str, str]:
        """The properties of an image with this content."""
        image, signature = self._directory / "image", self._directory / "signature"
        image.write_bytes(content)
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}"]
        padding = pss if self.key_type == "RSA-PSS" else []
        digest = f"-{hash_method.replace('-', '').lower()}"
        self._run("dgst", digest, "-sign", self._key, *padding, "-out", signature, image)
        return {
            "img_signature": base64.b64encode(signature.read_bytes()).decode(),
            "img_signature_hash_method": hash_method,
            "img_signature_key_type": self.key_type,
            "img_signature_certificate_uuid": self.certificate_id,
        }

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self._directory)
