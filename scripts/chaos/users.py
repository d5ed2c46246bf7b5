"""The users: each does one thing after another, waits for what becomes of it, and looks whether that is what it must be."""

import random
import threading
import time
import uuid
from collections import Counter
from typing import Any

from breezeblock.model.states import PASSING
from scripts.chaos.api import Api, NoAnswer, Refused
from scripts.chaos.content import Content
from scripts.chaos.guest import Guest
from scripts.chaos.ledger import Item, Ledger
from scripts.chaos.site import Site

MOST_VOLUMES = 100
WAIT_SECONDS = 600.0
LOOK_SECONDS = 0.6


class Users:
    """What all users share: the images, the ledger, and what they count."""

    def __init__(self, site: Site, images: dict[str, tuple[str, int]], seed: int) -> None:
        self.site = site
        self.api: Api = site.api
        self.images = images
        """By name, the id and the seed of the content."""
        self.seed = seed
        self.ledger = Ledger()
        self.over = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.checked: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def run(self, number: int) -> None:
        """One user's life, until it is over."""
        user = User(self, random.Random(self.seed * 1000 + number))  # noqa: S311
        while not self.over.is_set():
            what = user.choose()
            try:
                user.do(what)
            except Refused as error:
                with self._lock:
                    self.refused[f"{what} {error.status}"] += 1
            except Exception as error:
                self.complain(f"{what}: {type(error).__name__}: {error}")

    def count(self, what: str, outcome: str) -> None:
        """Count an outcome."""
        with self._lock:
            self.outcomes[f"{what}: {outcome}"] += 1

    def complain(self, wrong: str) -> None:
        """Note what must not be."""
        with self._lock:
            self.wrong.append(wrong)

    def check(self, item: Item) -> None:
        """Compare a volume's or snapshot's content with what it must be."""
        try:
            found = self.site.digest(item)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        with self._lock:
            self.checked[item.kind] += 1
            if found != item.content.digest():
                self.wrong.append(f"{item.kind} {item.id} on {item.backend} holds another content: {found}")


class User:
    """One user, and how it chooses."""

    def __init__(self, users: Users, chance: random.Random) -> None:
        self._users = users
        self._api = users.api
        self._ledger = users.ledger
        self._chance = chance
        self._deeds = {
            "create raw": (self._raw, 2),
            "create of image": (self._of_image, 4),
            "create of volume": (self._of_volume, 4),
            "create of snapshot": (self._of_snapshot, 3),
            "create of replica": (self._of_replica, 1),
            "create of backup": (self._of_backup, 1),
            "snapshot": (self._snapshot, 4),
            "backup": (self._backup, 1),
            "extend": (self._extend, 1),
            "attach": (self._attach, 3),
            "delete volume": (self._delete_volume, 5),
            "delete snapshot": (self._delete_snapshot, 2),
            "delete backup": (self._delete_backup, 1),
        }

    def choose(self) -> str:
        """What to do next; when there is much, it is rather deleted."""
        much = self._ledger.count("volumes") > MOST_VOLUMES
        names = [name for name in self._deeds if not much or not name.startswith("create")]
        return self._chance.choices(names, [self._deeds[name][1] for name in names])[0]

    def do(self, what: str) -> None:
        """Do it, and count what came of it; what cannot be done now is left."""
        outcome = self._deeds[what][0]()
        if outcome is None:
            time.sleep(LOOK_SECONDS)
        else:
            self._users.count(what, outcome)

    # creates

    def _raw(self) -> str | None:
        return self._make(Content(), volume_type=self._chance.choice(["dir", "sim", "replicated"]))

    def _of_image(self) -> str | None:
        image, seed = self._users.images[self._chance.choice(list(self._users.images))]
        kind = self._chance.choice(["dir", "sim", "replicated"])
        return self._make(Content(image=seed), imageRef=image, volume_type=kind, size=self._chance.choice([1, 1, 2]))

    def _of_volume(self) -> str | None:
        with self._ledger.shared(self._chance, "volumes") as item:
            return self._make_of(item, "source_volid")

    def _of_snapshot(self) -> str | None:
        with self._ledger.shared(self._chance, "snapshots") as item:
            return self._make_of(item, "snapshot_id")

    def _of_backup(self) -> str | None:
        with self._ledger.shared(self._chance, "backups") as item:
            return self._make_of(item, "backup_id", volume_type=self._chance.choice(["dir", "sim"]))

    def _of_replica(self) -> str | None:
        with self._ledger.shared(self._chance, "volumes", lambda one: one.replicated) as item:
            if item is None or not self._in_step(item):
                return None
            return self._make_of(item, "source_replica")

    def _in_step(self, item: Item) -> bool:
        try:
            found = self._api.call("GET", f"/volumes/{item.id}/replication")["replication"]
        except Refused:
            return False  # a rash delete took it
        return bool(found["last_in_step_at"])

    def _make_of(self, item: Item | None, key: str, **more: Any) -> str | None:
        if item is None:
            return None
        return self._make(item.content, size=item.size, **{key: item.id}, **more)

    def _make(self, content: Content, size: int = 1, **wanted: Any) -> str:
        made = self._api.create("volumes", {"size": size, "name": f"v-{uuid.uuid4()}", **wanted})
        found = self._wait("volumes", made["id"])
        if found is None:
            return "gone"
        if found["status"] == "available":
            self._ledger.add(
                Item(
                    kind="volumes",
                    id=made["id"],
                    backend=backend_of(found),
                    size=size,
                    content=content,
                    replicated=wanted.get("volume_type") == "replicated",
                )
            )
        elif self._chance.random() < 0.5:
            self._api.call("DELETE", f"/volumes/{made['id']}")
        return str(found["status"])

    # the other verbs

    def _snapshot(self) -> str | None:
        with self._ledger.shared(self._chance, "volumes") as item:
            if item is None:
                return None
            made = self._api.create("snapshots", {"volume_id": item.id, "name": f"s-{uuid.uuid4()}"})
            found = self._wait("snapshots", made["id"])
            if found and found["status"] == "available":
                self._ledger.add(
                    Item(
                        kind="snapshots",
                        id=made["id"],
                        backend=item.backend,
                        size=found["size"],
                        content=item.content,
                        volume=item.id,
                    )
                )
        return told(found)

    def _backup(self) -> str | None:
        with self._ledger.taken(self._chance, "volumes") as item:
            if item is None:
                return None
            made = self._make_backup(item)
            found = self._wait("backups", made)
            self._wait("volumes", item.id)
        if found and found["status"] == "available":
            self._ledger.add(Item(kind="backups", id=made, backend=item.backend, size=item.size, content=item.content))
        return told(found)

    def _make_backup(self, item: Item) -> str:
        """Its id. No key keeps a backup from being made twice, so whoever got no answer looks for its name."""
        name = f"b-{uuid.uuid4()}"
        while True:
            try:
                body = {"backup": {"volume_id": item.id, "name": name}}
                return str(self._api.once("POST", "/backups", body)["backup"]["id"])
            except NoAnswer:
                listed = self._api.call("GET", f"/backups?all_tenants=1&name={name}")["backups"]
                if listed:
                    return str(listed[0]["id"])

    def _extend(self) -> str | None:
        with self._ledger.taken(self._chance, "volumes", lambda one: one.size < 4) as item:
            if item is None:
                return None
            try:
                body = {"os-extend": {"new_size": item.size + 1}}
                self._api.call("POST", f"/volumes/{item.id}/action", body)
            except Refused:
                pass  # also of what was asked twice: the size tells
            found = self._wait("volumes", item.id)
            if found is None:
                return "gone"
            outcome = "extended" if found["size"] > item.size else "not extended"
            item.size = found["size"]
        return outcome if found["status"] == "available" else str(found["status"])

    def _attach(self) -> str | None:
        with self._ledger.taken(self._chance, "volumes", lambda one: one.backend == "dir") as item:
            if item is None:
                return None
            with Guest(self._api, item, self._chance) as guest:
                while not self._users.over.is_set() and guest.goes_on():
                    guest.write()
                    if self._chance.random() < 0.01:
                        self._live_snapshot(guest, item)
            found = self._wait("volumes", item.id)
        self._users.checked["blocks read again after a cut"] += guest.verified
        self._users.checked["cuts of a guest"] += guest.cuts
        return "gone" if found is None else str(found["status"])

    def _live_snapshot(self, guest: Guest, item: Item) -> None:
        content = guest.content()
        made = self._api.create("snapshots", {"volume_id": item.id, "name": f"l-{uuid.uuid4()}", "force": True})
        found = self._wait("snapshots", made["id"])
        if found and found["status"] == "available":
            more = {"backend": item.backend, "size": found["size"], "content": content, "volume": item.id}
            self._ledger.add(Item(kind="snapshots", id=made["id"], **more))
        self._users.count("snapshot of an attached volume", told(found))

    # deletes

    def _delete_volume(self) -> str | None:
        if self._chance.random() < 0.5:
            with self._ledger.taken(self._chance, "volumes") as item:
                if item is not None:
                    self._users.check(item)
                return self._delete(item, "?cascade=true")
        with self._ledger.shared(self._chance, "volumes") as item:  # whoever else uses it
            return self._delete(item, "?cascade=true")

    def _delete_snapshot(self) -> str | None:
        with self._ledger.shared(self._chance, "snapshots") as item:
            return self._delete(item)

    def _delete_backup(self) -> str | None:
        with self._ledger.shared(self._chance, "backups") as item:
            return self._delete(item)

    def _delete(self, item: Item | None, how: str = "") -> str | None:
        if item is None:
            return None
        dropped = self._ledger.drop(item)
        found = None
        try:
            self._api.call("DELETE", f"/{item.kind}/{item.id}{how}")
        except Refused as refused:
            found = self._wait(item.kind, item.id)  # of what was asked twice: it may be on its way
            if found is not None:
                self._put_back(dropped, found)
                raise
            if refused.status != 404:
                return "gone"
        found = self._wait(item.kind, item.id)
        if found is not None:
            self._put_back(dropped, found)
        return "deleted" if found is None else f"still {found['status']}"

    def _put_back(self, dropped: list[Item], found: dict[str, Any]) -> None:
        """What could not be deleted is there as before, its snapshots as far as they are."""
        if found["status"] not in ("available", "in-use"):
            return
        for one in sorted(dropped, key=lambda one: one.volume is not None):
            if one.volume is None or self._wait(one.kind, one.id):
                self._ledger.add(one)

    # waiting

    def _wait(self, kind: str, resource_id: str) -> dict[str, Any] | None:
        """The resource once nothing is under way with it; None when it is gone."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                found: dict[str, Any] = self._api.call("GET", f"/{kind}/{resource_id}")[kind[:-1]]
            except Refused as refused:
                if refused.status == 404:
                    return None
                raise
            if found["status"] not in PASSING:
                return found
            time.sleep(LOOK_SECONDS * (0.5 + self._chance.random()))
        raise NoAnswer(f"{kind} {resource_id} is {found['status']} for ever")


def told(found: dict[str, Any] | None) -> str:
    """The status of what was waited for."""
    return "gone" if found is None else str(found["status"])


def backend_of(volume: dict[str, Any]) -> str:
    """The section that a volume lies in."""
    return str(volume["os-vol-host-attr:host"].partition("@")[2].partition("#")[0])
