"""A machine that has a volume attached: it writes, flushes, and after every cut reads again all that it had flushed."""

import itertools
import random
import time
from typing import Any

from scripts.chaos.api import Api, NoAnswer, Refused
from scripts.chaos.content import Content
from scripts.chaos.ledger import Item
from tests.clients.sequence_writer import BLOCK, block_of
from tests.drivers.nbd_client import NbdClient

START = 16 << 20
"""Guests write from here on, beyond every image."""
BLOCKS = 64
PATIENCE_SECONDS = 120.0
STAY_SECONDS = (10.0, 60.0)
CONNECTOR = {"host": "guest", "ip": "127.0.0.1"}

_numbers = itertools.count(1)


class GuestFailed(Exception):
    """What was flushed is not there, or the volume cannot be reached."""


class Guest:
    """A context manager: the volume is attached as long as the block runs; then the item says what it holds."""

    def __init__(self, api: Api, item: Item, chance: random.Random) -> None:
        self._api = api
        self._item = item
        self._chance = chance
        self._flushed = dict(item.content.blocks)
        self._until = time.monotonic() + chance.uniform(*STAY_SECONDS)
        self.cuts = 0
        self.verified = 0

    def __enter__(self) -> "Guest":
        self._attachment = self._attach()
        self._client = self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._item.content = self.content()
        self._client.close()
        self._detach()

    def content(self) -> Content:
        """What the volume holds now, nothing being under way."""
        return Content(self._item.content.image, dict(self._flushed))

    def goes_on(self) -> bool:
        """Whether it stays attached for longer."""
        return time.monotonic() < self._until

    def write(self) -> None:
        """Write a block, flush it, and rest a little. When cut off, connect again, look, and write it again."""
        offset, number = START + self._chance.randrange(BLOCKS) * BLOCK, next(_numbers)
        while self._flushed.get(offset) != number:
            try:
                self._client.write(block_of(number, offset), offset)
                self._client.flush()
            except (ConnectionError, TimeoutError):
                self._client.close()
                self.cuts += 1
                self._client = self._connect()
                self._look(offset, number)
            else:
                self._flushed[offset] = number
        time.sleep(self._chance.uniform(0, 0.05))

    def _look(self, offset: int, number: int) -> None:
        """All that was flushed is there; the block under way is the old one or the new one, whole."""
        try:
            found = {at: self._client.read(BLOCK, at) for at in self._flushed.keys() | {offset}}
        except (ConnectionError, TimeoutError):
            return  # cut once more: the next look is soon
        for at, data in found.items():
            old = block_of(self._flushed[at], at) if at in self._flushed else bytes(BLOCK)
            if data != old and (at, data) != (offset, block_of(number, at)):
                raise GuestFailed(f"volume {self._item.id}: the block at {at} is not what was flushed there")
        self.verified += len(found)

    def _connect(self) -> NbdClient:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return NbdClient(self._uri)
            except (ConnectionError, FileNotFoundError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise GuestFailed(f"volume {self._item.id} is attached and cannot be reached: {error!r}") from error
                time.sleep(0.1)

    def _attach(self) -> str:
        attachment = self._reserve()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (info := self._show(attachment)["connection_info"]):
            if time.monotonic() > deadline:
                raise GuestFailed(f"volume {self._item.id} cannot be connected")
            try:
                self._api.once("PUT", f"/attachments/{attachment}", {"attachment": {"connector": CONNECTOR}})
            except NoAnswer:
                time.sleep(0.2)
        self._api.call("POST", f"/attachments/{attachment}/action", {"os-complete": None})
        self._uri = str(info["uri"])
        return attachment

    def _reserve(self) -> str:
        """The attachment's id; of a request without an answer the list tells."""
        while True:
            try:
                body = {"attachment": {"volume_uuid": self._item.id}}
                return str(self._api.once("POST", "/attachments", body)["attachment"]["id"])
            except NoAnswer:
                path = f"/attachments?all_tenants=1&volume_id={self._item.id}"
                if found := self._api.call("GET", path)["attachments"]:
                    return str(found[0]["id"])

    def _show(self, attachment: str) -> dict[str, Any]:
        return dict(self._api.call("GET", f"/attachments/{attachment}")["attachment"])

    def _detach(self) -> None:
        try:
            self._api.call("DELETE", f"/attachments/{self._attachment}")
        except Refused as refused:
            if refused.status != 404:  # of one that was asked twice
                raise
