"""Keys of encrypted volumes in a real Barbican, behind a real Keystone."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from castellan import key_manager, options
from castellan.common.credentials.keystone_password import KeystonePassword
from castellan.common.exception import KeyManagerError as CastellanError
from castellan.common.objects.x_509 import X509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from oslo_config import cfg

from breezeblock.errors import ImageUnacceptable, KeyManagerError
from breezeblock.images.signature import check_of, signature_of
from breezeblock.keys.barbican import BarbicanKeys
from breezeblock.model.image import Image
from tests.real.conftest import Cloud
from tests.real.peers import PASSWORD
from tests.signing import Signer

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CONF = """
[key_manager]
backend = barbican
auth_type = keystone_password
auth_url = {auth_url}
username = breezeblock
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default
[barbican]
auth_endpoint = {auth_url}
"""


@pytest.fixture(scope="module")
def keys(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BarbicanKeys]:
    conf = tmp_path_factory.mktemp("barbican") / "breezeblock.conf"
    conf.write_text(CONF.format(auth_url=cloud.auth_url, password=PASSWORD))
    with cloud.installed.start_barbican(int(cloud.barbican_url.rpartition(":")[2]), cloud.auth_url):
        yield BarbicanKeys([Path(conf)])


def as_nova(cloud: Cloud, user: str, key_id: str) -> bytes | None:
    """What a hypervisor gets that asks with the credentials of a user."""
    conf = cfg.ConfigOpts()
    options.set_defaults(conf, backend="barbican", auth_endpoint=cloud.auth_url)
    conf([], default_config_files=[], default_config_dirs=[])
    context = KeystonePassword(
        PASSWORD,
        username=user,
        auth_url=cloud.auth_url,
        project_name=user,
        user_domain_name="Default",
        project_domain_name="Default",
    )
    encoded: bytes | None = key_manager.API(conf).get(context, key_id).get_encoded()
    return encoded


def test_a_key_is_made_once_and_read_by_its_user(cloud: Cloud, keys: BarbicanKeys) -> None:
    name, reader = str(uuid.uuid4()), cloud.user_ids["demo"]
    key_id = keys.make(name, 32, reader)
    assert keys.make(name, 32, reader) == key_id
    key = keys.get(key_id)
    assert len(key) == 32
    assert as_nova(cloud, "demo", key_id) == key
    with pytest.raises(CastellanError):
        as_nova(cloud, "other", key_id)
    copy = keys.copy(str(uuid.uuid4()), key_id, reader)
    keys.delete(key_id)
    keys.delete(key_id)
    assert keys.get(copy) == key
    with pytest.raises(KeyManagerError):
        keys.get(key_id)
    keys.delete(copy)


def test_a_key_changes_its_reader(cloud: Cloud, keys: BarbicanKeys) -> None:
    """As a volume is transferred: the old user reads it no more."""
    key_id = keys.make(str(uuid.uuid4()), 32, cloud.user_ids["demo"])
    for _ in range(2):
        keys.give(key_id, cloud.user_ids["other"])
        assert as_nova(cloud, "other", key_id) == keys.get(key_id)
        with pytest.raises(CastellanError):
            as_nova(cloud, "demo", key_id)
    keys.delete(key_id)


def test_a_key_is_forgotten_by_its_name(cloud: Cloud, keys: BarbicanKeys) -> None:
    """A crash may come between Barbican's answer and the row: then the row has the name alone."""
    name = str(uuid.uuid4())
    key_id = keys.make(name, 16, cloud.user_ids["demo"])
    keys.delete(name)
    with pytest.raises(KeyManagerError):
        keys.get(key_id)
    keys.delete(name)


def test_the_certificate_of_an_image_is_read(cloud: Cloud, keys: BarbicanKeys, tmp_path: Path) -> None:
    content = b"an image"
    signer = Signer(tmp_path / "signing")
    certificate = x509.load_pem_x509_certificate(signer.certificate.read_bytes())
    stored = X509(certificate.public_bytes(Encoding.DER), name="signs images")
    certificate_id = str(keys._manager.store(keys._service, stored))
    properties = signer.properties(content) | {"img_signature_certificate_uuid": certificate_id}
    signature = signature_of(Image(id="i", properties=properties))
    assert signature is not None
    check = check_of(signature, keys.certificate(signature.certificate_id))
    check.judge(hashlib.sha256(content).digest())
    with pytest.raises(ImageUnacceptable):
        check.judge(hashlib.sha256(b"another").digest())
    keys.delete(certificate_id)
    with pytest.raises(KeyManagerError):
        keys.certificate(certificate_id)
