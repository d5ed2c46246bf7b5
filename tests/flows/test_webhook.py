"""A webhook gets signed posts, over TLS with a certificate that is verified, again until it takes them."""

import hmac
import http.server
import ipaddress
import json
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from breezeblock.delivery import publisher as publisher_module
from breezeblock.delivery.publisher import open_sinks
from breezeblock.delivery.sink import NotDelivered
from breezeblock.delivery.webhook import SIGNATURE_HEADER, sign
from breezeblock.errors import ConfigError
from tests.cloud import Cloud
from tests.flows.test_delivery import CONF, publishing, tell

WEBHOOK = "[events]\nwebhook_url = {url}\nwebhook_secret = key\n"


@pytest.fixture
def start(tmp_path):
    """A cloud with this section of the configuration."""
    clouds = []

    def begin(section):
        clouds.append(Cloud(tmp_path, section + CONF))
        return clouds[-1]

    yield begin
    for cloud in clouds:
        cloud.close()


class Receiver:
    """A webhook's receiver on loopback: answers with `statuses` in turn, then 204. With a certificate it speaks TLS."""

    def __init__(self, statuses=(), certificate=None):
        self.statuses = list(statuses)
        self.taken = []
        self.signatures = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.signatures.append((self.headers[SIGNATURE_HEADER], body))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                if status == 204:
                    receiver.taken.append(json.loads(body))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_port}/hook"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_signed_posts_again_until_it_takes_them(start, caplog, monkeypatch):
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", (0.01, 0.05))
    with Receiver([500, 302, 404]) as receiver:
        cloud = start(WEBHOOK.format(url=receiver.url))
        (sink,) = open_sinks(cloud.settings)
        with publishing(cloud, sink), cloud.running():
            volume = cloud.made(size=1)
            deadline = time.monotonic() + 30
            while len(receiver.taken) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        assert [event["type"] for event in receiver.taken] == ["volume.create.start", "volume.create.end"]
        assert receiver.taken[1]["payload"]["volume_id"] == volume.id
        assert receiver.taken[1]["payload"]["status"] == "available"
        assert len(receiver.signatures) == 5
        for signature, body in receiver.signatures:
            assert signature == sign("key", int(signature.split(",")[0].removeprefix("t=")), body)
        assert "answers 500" in caplog.text
        assert "key" not in caplog.text


def test_the_signature_is_the_one_that_is_documented():
    value = sign("secret", 1700000000, b"{}")
    assert value == "t=1700000000,v1=" + hmac.new(b"secret", b"1700000000.{}", "sha256").hexdigest()
    assert value != sign("other", 1700000000, b"{}")
    assert value != sign("secret", 1700000001, b"{}")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("webhook_url = file:///etc/passwd\nwebhook_secret = key\n", "http"),
        ("webhook_url = https://example.org/\n", "webhook_secret"),
        ("webhook_url = https://example.org/\nwebhook_secret = key\nwebhook_cafile = /nowhere\n", "webhook_cafile"),
    ],
)
def test_a_wrong_sink_is_refused_at_start(start, section, reason):
    cloud = start("[events]\n" + section)
    with pytest.raises(ConfigError, match=reason):
        open_sinks(cloud.settings)


def certificate_for(directory, address="127.0.0.1"):
    """A file with a key and its self-signed certificate, an authority of its own, for an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"test {address}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = directory / f"{address}.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem),
    )
    return file


def deliver_one(cloud):
    tell(cloud, 1)
    (sink,) = open_sinks(cloud.settings)
    (event,) = cloud.events()
    sink.deliver(event)


def test_over_tls_to_an_authority_that_is_configured(start, tmp_path):
    certificate = certificate_for(tmp_path)
    with Receiver(certificate=certificate) as receiver:
        deliver_one(start(WEBHOOK.format(url=receiver.url) + f"webhook_cafile = {certificate}\n"))
    assert [event["number"] for event in receiver.taken] == [1]


def test_never_to_an_authority_that_nobody_configured(start, tmp_path):
    with Receiver(certificate=certificate_for(tmp_path)) as receiver:
        with pytest.raises(NotDelivered, match="certificate verify failed: self-signed certificate"):
            deliver_one(start(WEBHOOK.format(url=receiver.url)))
    assert receiver.signatures == []


def test_never_to_another_name_of_a_good_authority(start, tmp_path):
    certificate = certificate_for(tmp_path, "127.0.0.2")
    with Receiver(certificate=certificate) as receiver:
        with pytest.raises(NotDelivered, match="certificate verify failed: IP address mismatch"):
            deliver_one(start(WEBHOOK.format(url=receiver.url) + f"webhook_cafile = {certificate}\n"))
    assert receiver.signatures == []
