"""`make bench-lists`: what a page of each common list costs among few volumes and among many, on SQLite and PostgreSQL.

The same API answers the same queries on two databases in turns, in this process and without a network: one has --few
rows of each kind, one --many. What counts is the least time of --repeat calls: a busy machine only adds. It ends with 1
where a page among many took more than --most times as long as among few.
"""

import argparse
import contextlib
import math
import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import falcon.testing
import msgspec
import sqlalchemy as sa

from breezeblock import config
from breezeblock.api.app import make_app
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.db import migrate, tables
from breezeblock.db.connect import Database
from breezeblock.images.local import LocalCatalog
from tests import postgres

ALL = 7
"""Every seventh volume is another project's, every hundredth in an error."""
BATCH = 5000
MIDDLE = "MIDDLE"
LISTS = {
    "first page": "volumes/detail?limit=100",
    "page in the middle": f"volumes/detail?limit=100&marker={MIDDLE}",
    "by name": "volumes/detail?name=volume-77",
    "by status": "volumes/detail?limit=5&status=error",
    "sorted by name": f"volumes/detail?limit=100&sort=name:asc&marker={MIDDLE}",
    "all projects": "volumes/detail?limit=100&all_tenants=1",
    "all projects, by status": "volumes/detail?limit=5&all_tenants=1&status=error",
    "all projects, by name": "volumes/detail?all_tenants=1&name=volume-77",
    "short list": "volumes?limit=100",
    "snapshots": "snapshots/detail?limit=100",
    "snapshots of a volume": f"snapshots/detail?volume_id={MIDDLE}",
    "snapshots sorted by name": "snapshots/detail?limit=100&sort=name:asc",
    "attachments of a server": f"attachments?instance_id={MIDDLE}",
}


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The least time of one list, in ms, among few and among many."""

    database: str
    name: str
    few_ms: float
    many_ms: float

    @property
    def ratio(self) -> float:
        """How many times longer it takes among many."""
        return self.many_ms / self.few_ms


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 where a list takes longer among many."""
    parser = argparse.ArgumentParser(
        prog="make bench-lists", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--most", type=float, default=1.5, help="the ratio that is too much; default %(default)s")
    options = parser.parse_args(arguments)
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory(prefix="breezeblock-bench-", dir=os.environ.get("BENCH_DIR")) as made:
        for kind in ("SQLite", "PostgreSQL"):
            with _databases(kind) as urls:
                sizes = {options.few: urls[0], options.many: urls[1]}
                timings += measure(kind, Path(made) / kind, sizes, options.repeat)
    print(table(timings, options.few, options.many))
    slower = [one for one in timings if one.ratio > options.most]
    for one in slower:
        print(f"SLOWER {one.database}, {one.name}: {one.ratio:.2f} times")
    return 1 if slower else 0


@contextmanager
def _databases(kind: str) -> Iterator[list[str | None]]:
    """The URLs of two empty databases; None is SQLite in the data directory."""
    if kind == "SQLite":
        yield [None, None]
        return
    cluster = postgres.start()
    try:
        yield [cluster.url(cluster.new_database("bench")) for _ in range(2)]
    finally:
        cluster.stop()


def measure(kind: str, directory: Path, sizes: dict[int, str | None], repeat: int) -> list[Timing]:
    """The times of all lists on databases with so many rows."""
    with contextlib.ExitStack() as opened:
        sites = [opened.enter_context(_site(directory / str(count), url, count)) for count, url in sizes.items()]
        least = {(name, count): math.inf for name in LISTS for count in sizes}
        for _ in range(repeat + 1):
            for name, path in LISTS.items():
                for client, count in zip(sites, sizes, strict=True):
                    least[name, count] = min(least[name, count], _milliseconds(client, path, count))
    few, many = sizes
    return [Timing(database=kind, name=name, few_ms=least[name, few], many_ms=least[name, many]) for name in LISTS]


@contextmanager
def _site(data_dir: Path, url: str | None, count: int) -> Iterator[falcon.testing.TestClient]:
    config.prepare_data_dir(data_dir)
    (data_dir / "breezeblock.conf").write_text("")
    settings = config.load(data_dir, database_url=url)
    database = Database(settings.database_url)
    try:
        migrate.upgrade(database)
        fill(database, count)
        app = make_app(settings, database, LocalCatalog(database, data_dir / "images"))
        yield falcon.testing.TestClient(app)
    finally:
        database.close()


def fill(database: Database, count: int) -> None:
    """So many volumes, each with a snapshot and an attachment; then the database's statistics."""
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        with database.begin() as connection:
            connection.execute(tables.volumes.insert(), [_volume(number) for number in numbers])
            connection.execute(tables.snapshots.insert(), [_snapshot(number) for number in numbers])
            connection.execute(tables.attachments.insert(), [_attachment(number) for number in numbers])
    with database.begin() as connection:
        connection.execute(sa.text("ANALYZE"))


def id_of(number: int) -> str:
    """An id that says nothing of its number, and is the same each time."""
    return str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4))


def _owned(number: int) -> dict[str, Any]:
    minutes = number // 60
    return {
        "id": id_of(number),
        "project_id": "other" if number % ALL == 0 else DEFAULT_PROJECT,
        "created_at": f"2026-{1 + minutes // 40320:02}-{1 + minutes // 1440 % 28:02}T"
        f"{minutes // 60 % 24:02}:{minutes % 60:02}:{number % 60:02}.000000",
    }


def _volume(number: int) -> dict[str, Any]:
    return {
        **_owned(number),
        "user_id": "user",
        "name": f"volume-{number}",
        "size": 1,
        "status": "error" if number % 100 == 1 else "available",
        "attach_status": "detached",
        "host": f"host@backend{number % 3}#pool",
    }


def _snapshot(number: int) -> dict[str, Any]:
    return {
        **_owned(number),
        "user_id": "user",
        "volume_id": id_of(number),
        "name": f"snapshot-{number}",
        "volume_size": 1,
        "status": "available",
        "progress": "100%",
    }


def _attachment(number: int) -> dict[str, Any]:
    return {
        **_owned(number),
        "volume_id": id_of(number),
        "instance_uuid": id_of(number),
        "attach_mode": "rw",
        "attach_status": "attached",
    }


def _milliseconds(client: falcon.testing.TestClient, path: str, count: int) -> float:
    path = f"/v3/{DEFAULT_PROJECT}/{path.replace(MIDDLE, id_of(count // 2 // ALL * ALL + 1))}"
    began = time.perf_counter()
    answer = client.simulate_get(path, headers={"OpenStack-API-Version": "volume 3.71"})
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text
    return took


def table(timings: Sequence[Timing], few: int, many: int) -> str:
    """The figures as Markdown."""
    lines = [
        f"| database | list | among {few:,}, ms | among {many:,}, ms | ratio |",
        "|---|---|---|---|---|",
        *(
            f"| {one.database} | {one.name} | {one.few_ms:.2f} | {one.many_ms:.2f} | {one.ratio:.2f} |"
            for one in timings
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
