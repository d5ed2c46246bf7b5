"""`make chaos SECONDS=…`: everything at once on a service whose processes are killed at random, and then a look at what is left.

Many users create, clone, snapshot, connect and delete, while API, worker and storage daemons die by SIGKILL. At the end
every operation has ended, no status is a passing one, `breezeblock doctor` finds nothing where there is one, and when all
volumes are deleted nothing is left on the storage.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from breezeblock.cli.client import Client
from breezeblock.cli.main import COMMANDS
from breezeblock.errors import BreezeblockError, ServiceUnavailable
from breezeblock.model.states import PASSING
from scripts.service import BREEZEBLOCK, Service

CONFIGURATION = """
[DEFAULT]
enabled_backends = directory, simulated
[directory]
volume_driver = directory
[simulated]
volume_driver = simulated
simulated_replication = true
{database}
"""
USERS = 12
PAUSE_SECONDS = (0.5, 3.0)
SETTLE_SECONDS = 300.0
IMAGE_BYTES = 8 << 20
KINDS = ("volumes", "snapshots")


class Chaos:
    """The users and the killer, with what they count."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.seed = seed
        self.client = Client(service.data_dir)
        self.over = threading.Event()
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.image = service.image("chaos", "raw")
        service.upload(self.image, BytesIO(_chance(seed).randbytes(IMAGE_BYTES)), IMAGE_BYTES)

    def run(self, seconds: float) -> None:
        """Let them loose for so long."""
        threads = [threading.Thread(target=self._use, args=(number,)) for number in range(USERS)]
        threads.append(threading.Thread(target=self._kill))
        for thread in threads:
            thread.start()
        self.over.wait(seconds)
        self.over.set()
        for thread in threads:
            thread.join()

    def _use(self, number: int) -> None:
        chance = _chance(self.seed + number)
        while not self.over.is_set():
            what = chance.choice(
                [self._create, self._clone, self._snapshot, self._of_snapshot, self._attach, self._delete]
            )
            name = what.__name__.strip("_")
            try:
                done = what(chance)
            except ServiceUnavailable:
                self.refused[f"{name}: no answer"] += 1
                self.over.wait(0.2)
            except BreezeblockError as error:
                self.refused[f"{name}: {type(error).__name__}"] += 1
            else:
                self.asked[name] += done

    def _listed(self, kind: str, status: str) -> list[str]:
        listed = self.client.call("GET", f"/{kind}/detail?all_tenants=1")[kind]
        return [str(one["id"]) for one in listed if one["status"] == status]

    def _create(self, chance: random.Random) -> bool:
        source = chance.choice([{}, {"imageRef": self.image}])
        self.client.call("POST", "/volumes", {"volume": {"size": 1, "name": "raw or image", **source}})
        return True

    def _clone(self, chance: random.Random) -> bool:
        return self._make_of(chance, "volumes", "source_volid")

    def _of_snapshot(self, chance: random.Random) -> bool:
        return self._make_of(chance, "snapshots", "snapshot_id")

    def _make_of(self, chance: random.Random, kind: str, key: str) -> bool:
        found = self._listed(kind, "available")
        if found:
            self.client.call("POST", "/volumes", {"volume": {"size": 1, "name": key, key: chance.choice(found)}})
        return bool(found)

    def _snapshot(self, chance: random.Random) -> bool:
        found = self._listed("volumes", "available")
        if found:
            self.client.call("POST", "/snapshots", {"snapshot": {"volume_id": chance.choice(found)}})
        return bool(found)

    def _attach(self, chance: random.Random) -> bool:
        found = self._listed("volumes", "available")
        if not found:
            return False
        wanted = {"volume_uuid": chance.choice(found), "connector": {"host": "chaos", "ip": "127.0.0.1"}}
        made = self.client.call("POST", "/attachments", {"attachment": wanted})["attachment"]
        self.over.wait(chance.random())
        self.client.call("DELETE", f"/attachments/{made['id']}")
        return True

    def _delete(self, chance: random.Random) -> bool:
        kind = chance.choice(KINDS)
        found = self._listed(kind, "available")
        if len(found) < 5:
            return False
        cascade = "?cascade=true" if kind == "volumes" else ""
        self.client.call("DELETE", f"/{kind}/{chance.choice(found)}{cascade}")
        return True

    def _kill(self) -> None:
        chance = _chance(self.seed - 1)
        while not self.over.wait(chance.uniform(*PAUSE_SECONDS)):
            victims = list(self._victims())
            if not victims:
                continue
            role, pid = chance.choice(victims)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills[role] += 1

    def _victims(self) -> Iterator[tuple[str, int]]:
        """The processes of the service but for the supervisor, which a system's own one stands in for."""
        for pid in _children(self.service.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
                argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                role = next((one for one in ("worker", "api") if one in argv), None)
                if role == "worker":
                    yield "worker", pid
                elif role == "api":
                    yield "api", pid
                    yield from (("api process", child) for child in _children(pid))
        for pid in self.service.export_daemons():
            yield "storage daemon", pid

    def settle(self) -> None:
        """Wait until every operation has ended. Raises `SystemExit` when one does not."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while live := self._live():
            if time.monotonic() > deadline:
                raise SystemExit(f"These have not ended: {live}\n{self.service.tail()}")
            time.sleep(0.2)

    def _live(self) -> list[str]:
        try:
            found = [
                f"{one['kind']} {one['resource_id']}"
                for state in ("queued", "running")
                for one in self.client.call("GET", f"/operations?all_tenants=1&state={state}")["operations"]
            ]
            for kind in KINDS:
                listed = self.client.call("GET", f"/{kind}/detail?all_tenants=1")[kind]
                found += [f"{kind} {one['id']} {one['status']}" for one in listed if one["status"] in PASSING]
        except ServiceUnavailable as error:
            return [str(error)]
        return found

    def statuses(self) -> dict[str, Counter[str]]:
        """How many volumes and snapshots are in which status."""
        return {
            kind: Counter(one["status"] for one in self.client.call("GET", f"/{kind}/detail?all_tenants=1")[kind])
            for kind in KINDS
        }

    def complaints(self) -> list[str]:
        """What is wrong when nothing runs; then everything is deleted, and what is left of it."""
        found = [f"operation without a message: {one['id']}" for one in self._failed() if not one["message"]]
        found += self._doctor()
        self._delete_all()
        for backend in ("volumes/volumes", "volumes/snapshots", "volumes/tmp", "simulated-simulated/objects"):
            names = {one.name for one in (self.service.data_dir / backend).iterdir()}
            known = {f"volume-{one['id']}" for one in self.client.call("GET", "/volumes?all_tenants=1")["volumes"]}
            found += [f"{backend}/{name} is left" for name in sorted(names) if name.partition(".")[0] not in known]
        return found + self._doctor()

    def _failed(self) -> list[dict[str, Any]]:
        failed: list[dict[str, Any]] = self.client.call("GET", "/operations?all_tenants=1&state=failed")["operations"]
        return failed

    def _delete_all(self) -> None:
        for attachment in self.client.call("GET", "/attachments?all_tenants=1")["attachments"]:
            self.client.call("DELETE", f"/attachments/{attachment['id']}")
        for volume in self.client.call("GET", "/volumes?all_tenants=1")["volumes"]:
            self.client.call("DELETE", f"/volumes/{volume['id']}?cascade=true")
        self.settle()

    def _doctor(self) -> list[str]:
        if "doctor" not in COMMANDS:
            return []
        argv: list[str | Path] = [BREEZEBLOCK, "doctor", "--data-dir", self.service.data_dir]
        run = subprocess.run(argv, capture_output=True, text=True, check=False)
        return [f"doctor: {run.stdout}{run.stderr}"] if run.returncode else []


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  nothing is kept secret here


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _counts(what: str, counted: Counter[str]) -> None:
    print(f"{what}: {counted.total()}  " + ", ".join(f"{name} {number}" for name, number in sorted(counted.items())))


def main() -> int:
    """Run, settle, look, tell."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--database", help="URL of an empty PostgreSQL database. Default: SQLite.")
    given = arguments.parse_args()
    print(f"chaos for {given.seconds:.0f} s, seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="breezeblock-chaos-") as directory:
        data_dir = Path(directory) / "data"
        data_dir.mkdir(mode=0o700)
        database = f"[database]\nconnection = {given.database}" if given.database else ""
        (data_dir / "breezeblock.conf").write_text(CONFIGURATION.format(database=database))
        with Service(data_dir) as service:
            service.wait_until_up()
            chaos = Chaos(service, given.seed)
            chaos.run(given.seconds)
            chaos.settle()
            _counts("kills", chaos.kills)
            _counts("asked", chaos.asked)
            _counts("refused", chaos.refused)
            for kind, counted in chaos.statuses().items():
                _counts(kind, counted)
            found = chaos.complaints()
    print("\n".join(found) or "every operation has ended, and nothing is left")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
