"""A whole service in one process, for tests of flows: database, one backend, its engine in a thread."""

import hashlib
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import msgspec

from breezeblock import config, worker
from breezeblock.context import RequestContext
from breezeblock.db import migrate, operations, outbox, pools, snapshots, volumes
from breezeblock.db.connect import Database
from breezeblock.db.outbox import Event
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.drivers.registry import open_driver
from breezeblock.errors import NotFound
from breezeblock.flows.backend import make_backend
from breezeblock.flows.engine import Engine
from breezeblock.model.image import Image
from breezeblock.services.volumes import CreateVolume, create_volume

assert worker  # importing it registers the flows

MEMBER = RequestContext(user_id="user", project_id="project", roles=("member",))
ADMIN = RequestContext(user_id="admin", project_id="project", roles=("admin",), is_admin=True)


class Images:
    """An image service in memory: images by id, each with its bytes; `local` ones also have a file."""

    def __init__(self):
        self.images = {}
        self.content = {}
        self.paths = {}
        self.opened = []

    def add(self, image: Image, content: bytes = b"", path: Path | None = None) -> Image:
        self.images[image.id] = image
        self.content[image.id] = content
        self.paths[image.id] = path
        return image

    def get(self, context, image_id):
        try:
            return self.images[image_id]
        except KeyError:
            raise NotFound(f"Image {image_id} could not be found.") from None

    def find(self, context, name):
        return [image for image in self.images.values() if image.name == name]

    @contextmanager
    def open(self, image_id, offset=0):
        self.opened.append(image_id)
        content = self.content[image_id][offset:]
        yield (content[at : at + 65536] for at in range(0, len(content), 65536))

    def read(self, image_id, length, offset):
        return self.content[image_id][offset : offset + length]

    def location(self, image_id):
        return "memory"

    def local_path(self, image_id):
        return self.paths.get(image_id)

    def create(self, context, *, token=None, **fields):
        return self.add(Image(id=str(uuid.uuid4()), status="queued", owner=context.project_id, **fields))

    def upload(self, context, image_id, pieces):
        content = b"".join(pieces)
        changed = {"status": "active", "size": len(content), "os_hash_algo": "md5"}
        changed["os_hash_value"] = hashlib.md5(content).hexdigest()
        return self.add(msgspec.structs.replace(self.images[image_id], **changed), content)

    def describe(self, image_id, properties):
        image = self.images[image_id]
        self.images[image_id] = msgspec.structs.replace(image, properties=image.properties | properties)

    def discard(self, image_id):
        self.images.pop(image_id, None)


class Cloud:
    """The parts of a running service, and short ways to use them. `close` checks that its events are in pairs."""

    open_ones: ClassVar[list["Cloud"]] = []
    """Those that a fixture closes after the test, where the test did not."""

    leaves_flows = False
    """A test whose flows are not all run to their end says so by True."""

    def __init__(self, data_dir: Path, conf: str = "", database_url: str | None = None, images=None):
        config.prepare_data_dir(data_dir)
        (data_dir / "breezeblock.conf").write_text(conf)
        self.settings = config.load(data_dir, database_url=database_url)
        self.database = Database(self.settings.database_url)
        migrate.upgrade(self.database)
        self.images = images or Images()
        own = self.settings.backends[0]
        self.driver = open_driver(own)
        self.backend = make_backend(self.settings, own, self.driver, self.database, self.images)
        self.backend.sources.start()
        self.open_ones.append(self)
        self.report()

    def report(self) -> None:
        with self.database.begin() as connection:
            pools.report(connection, self.backend.name, self.driver.get_volume_stats())

    @contextmanager
    def running(self) -> Iterator["Cloud"]:
        """With the engine at work."""
        engine = Engine(self.backend)
        thread = threading.Thread(target=engine.run)
        thread.start()
        try:
            yield self
        finally:
            engine.stop()
            thread.join()

    def create(self, context=MEMBER, **wanted):
        return create_volume(self.database, self.settings, self.images, context, CreateVolume(**wanted))

    def volume(self, volume_id):
        with self.database.read() as connection:
            return volumes.get(connection, volume_id)

    def snapshot(self, snapshot_id):
        with self.database.read() as connection:
            return snapshots.get(connection, snapshot_id)

    def operations(self, resource_id):
        with self.database.read() as connection:
            return operations.of_resource(connection, resource_id)

    def settled(self, resource_id, seconds=30):
        """The newest operation of a resource, once it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.operations(resource_id)
            if found and all(one.state not in {"queued", "running"} for one in found):
                return found[0]
            time.sleep(0.005)
        raise AssertionError(f"still running: {[msgspec.to_builtins(one) for one in self.operations(resource_id)]}")

    def made(self, context=MEMBER, **wanted):
        """A volume, made and settled."""
        volume = self.create(context, **wanted)
        self.settled(volume.id)
        return self.volume(volume.id)

    def count(self, table) -> int:
        with self.database.read() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())

    def events(self) -> list[Event]:
        with self.database.read() as connection:
            return outbox.after(connection, 0, 1 << 60, limit=100_000)

    def check_pairs(self) -> None:
        """Each start has one end or error of the same operation, and none is without a start."""
        with self.database.read() as connection:
            pending = set(connection.exec_driver_sql("SELECT id FROM flow_requests").scalars())
        if not self.leaves_flows:
            assert pending == set(), "flows that nobody ran to their end; the test does not say that it leaves any"
        balance: Counter[tuple[str | None, str, str]] = Counter()
        for event in self.events():
            verb, _, phase = event.type.rpartition(".")
            balance[event.operation_id, verb, event.resource_id] += {"start": 1, "end": -1, "error": -1}.get(phase, 0)
        odd = {key: count for key, count in balance.items() if count and key[0] not in pending}
        assert odd == {}, f"events without their other half: {odd}"

    def close(self) -> None:
        """Let storage and database go, after `check_pairs`. Closed already is done."""
        if self not in self.open_ones:
            return
        self.open_ones.remove(self)
        try:
            self.check_pairs()
        finally:
            self.backend.sources.close()
            if isinstance(self.driver, DirectoryDriver):
                self.driver.close()
            self.database.close()
