"""The look at what is left: first of what the users made, then of everything when they have deleted it."""

import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.db import tables
from breezeblock.db.connect import Database
from breezeblock.model.states import PASSING
from scripts.chaos.api import Refused
from scripts.chaos.site import Site, command_of
from scripts.chaos.users import Users
from scripts.service import BREEZEBLOCK

SETTLE_SECONDS = 600.0
KINDS = ("backups", "snapshots", "volumes")
TABLES = {"volumes": tables.volumes, "snapshots": tables.snapshots, "backups": tables.backups}
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EMPTY = ("volumes/volumes", "volumes/snapshots", "volumes/bases", "volumes/tmp", "backups", "conversion")
EMPTY_SIMULATED = ("simulated-sim/objects", "simulated-sim/replicas")


class Proof:
    """Looks at a site after the last kill."""

    def __init__(self, site: Site, users: Users) -> None:
        self._site = site
        self._users = users
        self._database = Database(site.settings.database_url)
        self.wrong: list[str] = []

    def settle(self) -> None:
        """Wait until no flow is left and no status is a passing one. Raises `SystemExit` when that does not happen."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while live := self._live():
            if time.monotonic() > deadline:
                raise SystemExit(f"These have not ended: {live}\n{self._site.tail()}")
            time.sleep(0.2)

    def _live(self) -> list[str]:
        with self._database.read() as connection:
            requests = tables.flow_requests
            found = [f"{row.flow} {row.id}" for row in connection.execute(sa.select(requests.c.flow, requests.c.id))]
            for kind, table in TABLES.items():
                for row in connection.execute(sa.select(table.c.id, table.c.status)):
                    if row.status in PASSING:
                        found.append(f"{kind} {row.id} is {row.status}")
        return found

    def statuses(self) -> Counter[str]:
        """How many resources are in which status."""
        with self._database.read() as connection:
            return Counter(
                f"{kind} {row.status}"
                for kind, table in TABLES.items()
                for row in connection.execute(sa.select(table.c.status))
            )

    def operations(self) -> Counter[str]:
        """How many operations ended how."""
        table = tables.operations
        with self._database.read() as connection:
            query = sa.select(table.c.kind, table.c.state, sa.func.count().label("n"))
            rows = connection.execute(query.group_by(table.c.kind, table.c.state))
            return Counter({f"{row.kind} {row.state}": row.n for row in rows})

    def failures(self) -> Counter[str]:
        """Why operations failed, in their own words."""
        table = tables.operations
        with self._database.read() as connection:
            rows = connection.execute(sa.select(table.c.kind, table.c.message).where(table.c.state == "failed"))
            return Counter(f"{row.kind}: {UUID.sub('ID', row.message or '')}" for row in rows)

    def look(self) -> None:
        """Everything, and at the end nothing."""
        self._doctor("with everything in place")
        self._rows()
        for item in self._users.ledger.all():
            if item.kind != "backups":
                self._users.check(item)
        self._names()
        self._delete_all()
        self._doctor("with everything deleted")
        self._nothing_left()
        self._database.close()

    def _rows(self) -> None:
        """What users were told is there, is there; what is in error says why."""
        rows: dict[str, str] = {}
        with self._database.read() as connection:
            for kind, table in TABLES.items():
                for row in connection.execute(sa.select(table.c.id, table.c.status)):
                    rows[row.id] = row.status
                    if row.status not in ("available", "error"):
                        self.wrong.append(f"{kind} {row.id} is {row.status}")
            failed = sa.select(tables.operations).where(tables.operations.c.state == "failed")
            for operation in connection.execute(failed):
                if not operation.message or "unexpected error" in operation.message:
                    self.wrong.append(f"{operation.kind} of {operation.resource_id} failed: {operation.message!r}")
        for item in self._users.ledger.all():
            if rows.get(item.id) != "available":
                self.wrong.append(f"{item.kind} {item.id} should be available and is {rows.get(item.id)}")

    def _names(self) -> None:
        """A request that was repeated made one resource."""
        with self._database.read() as connection:
            for kind, table in TABLES.items():
                query = sa.select(table.c.name).where(table.c.name.is_not(None)).group_by(table.c.name)
                query = query.having(sa.func.count() > 1)
                if kind == "volumes":
                    query = query.where(~table.c.name.like("image-%"))  # those of the cache
                self.wrong += [f"{kind} {row.name} was made twice" for row in connection.execute(query)]

    def _delete_all(self) -> None:
        """All backups, snapshots and volumes of everybody, those of the image cache too."""
        for kind in KINDS:
            for one in self._listed(kind):
                try:
                    self._site.api.call("DELETE", f"/{kind}/{one['id']}")
                except Refused as refused:
                    self.wrong.append(f"{kind} {one['id']} cannot be deleted: {refused}")
            self.settle()
        left = [f"{kind} {one['id']} is {one['status']}" for kind in KINDS for one in self._listed(kind)]
        self.wrong += [f"{one} after its delete" for one in left]

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        return list(self._site.api.call("GET", f"/{kind}/detail?all_tenants=1&limit=1000")[kind])

    def _doctor(self, when: str) -> None:
        argv: list[str | Path] = [BREEZEBLOCK, "doctor", "--data-dir", self._site.data_dir]
        run = subprocess.run(argv, capture_output=True, text=True, check=False)
        print(f"doctor {when}: exit {run.returncode}", flush=True)
        if run.returncode:
            self.wrong.append(f"doctor {when}: {run.stdout}{run.stderr}")

    def _nothing_left(self) -> None:
        for folder in (*EMPTY, *EMPTY_SIMULATED):
            path = self._site.data_dir / folder
            names = sorted(one.name for one in path.iterdir() if one.name != ".lock") if path.exists() else []
            self.wrong += [f"{folder}/{name} is left" for name in names]
        daemons = [pid for kind, pid in self._site.processes() if kind == "storage daemon"]
        self.wrong += [f"export daemon {pid} is left" for pid in daemons]

    def look_at_processes(self) -> None:
        """When the service has ended, nothing of it runs; what it logged has no defect."""
        for one in Path("/proc").iterdir():
            if one.name.isdigit() and any(str(self._site.data_dir) in part for part in command_of(int(one.name))):
                self.wrong.append(f"process {one.name} is left: {' '.join(command_of(int(one.name)))[:200]}")
        self.wrong += [f"a process {end}" for end in self._site.ends if "by itself" in end]
        log = self._site.log.read_text(errors="replace").splitlines()
        defects = Counter(line.partition(" failed (req-")[0][-60:] for line in log if " failed (req-" in line)
        self.wrong += [f"{number} times in the log: {line} failed" for line, number in defects.items()]
