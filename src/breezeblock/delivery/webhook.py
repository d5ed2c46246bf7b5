"""A webhook: each event is a signed POST.

`X-Breezeblock-Signature: t=<seconds since 1970>,v1=<hex>`, where the hex number is the HMAC-SHA256 by `webhook_secret` of
the time, a full stop and the body. The time is that of the attempt, so that a receiver can refuse a replay.
"""

import hashlib
import hmac
import http.client
import ssl
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import msgspec

from breezeblock.config import Settings
from breezeblock.db.outbox import Event
from breezeblock.delivery.sink import NotDelivered
from breezeblock.errors import ConfigError

SIGNATURE_HEADER = "X-Breezeblock-Signature"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere would be a GET there; say so instead."""

    def redirect_request(self, *_: Any) -> None:
        """None: the redirection is the answer, an error."""


class Webhook:
    """The sink `webhook`. The event is delivered when the receiver answers 2xx."""

    name = "webhook"

    def __init__(self, settings: Settings) -> None:
        self._url: str = settings.events["webhook_url"]
        self._secret: str = settings.events["webhook_secret"] or ""
        self._timeout: int = settings.events["webhook_timeout"]
        if urlsplit(self._url).scheme not in {"http", "https"} or not urlsplit(self._url).hostname:
            raise ConfigError("webhook_url must be an http:// or https:// URL.")
        if not self._secret:
            raise ConfigError("webhook_url needs a webhook_secret, by which receivers know that events come from here.")
        try:
            trust = ssl.create_default_context(cafile=settings.events["webhook_cafile"])
        except OSError as error:
            raise ConfigError(f"webhook_cafile cannot be used: {error}.") from error
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), _NoRedirects())

    def deliver(self, event: Event) -> None:
        """As `Sink.deliver`."""
        body = msgspec.json.encode(event)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "breezeblock",
            SIGNATURE_HEADER: sign(self._secret, int(time.time()), body),
        }
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout):
                pass
        except urllib.error.HTTPError as answer:
            with answer:
                raise NotDelivered(f"the webhook's receiver answers {answer.code} {answer.reason}") from None
        except urllib.error.URLError as error:
            raise NotDelivered(f"the webhook's receiver cannot be reached: {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise NotDelivered(f"the webhook's receiver broke off: {error}") from None

    def close(self) -> None:
        """Nothing is kept open."""


def sign(secret: str, at: int, body: bytes) -> str:
    """The signature header's value of a body sent at that time (seconds since 1970)."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
