"""What stands ready on a world for all scenarios."""

import uuid

import sqlalchemy as sa

from breezeblock.db import tables
from breezeblock.errors import NotFound
from tests.kill.world import World

CONNECTOR = {"host": "client", "ip": "127.0.0.1"}


def fresh() -> str:
    return f"v{uuid.uuid4().hex[:10]}"


class Base:
    """What stands ready on a world for all scenarios."""

    def __init__(self, world: World):
        self.image = world.image()
        self.qcow2 = world.image("qcow2")
        self.volumes, self.snapshots = {}, {}
        for backend in ("sim", "dir", "weak"):
            self.volumes[backend] = world.made(
                "volumes", size=1, name=f"base-{backend}", imageRef=self.image, volume_type=f"replicated-{backend}"
            )
            self.snapshots[backend] = world.made("snapshots", volume_id=self.volumes[backend], name=f"base-{backend}")
        for kind in ("plain", "secret", "secret-dir", "secret-weak"):
            self.volumes[kind] = world.made(
                "volumes", size=1, name=f"base-{kind}", imageRef=self.image, volume_type=kind
            )
        self.backup = world.made("backups", volume_id=self.volumes["sim"], name="base")
        self.secret_backup = world.made("backups", volume_id=self.volumes["secret"], name="base-secret")
        self.image_volume = world.image(location=f"cinder://{self.volumes['sim']}")
        with world.database.begin() as connection:  # the project that images belong to
            owner = sa.select(tables.images.c.owner).where(tables.images.c.id == self.image_volume)
            volume = tables.volumes
            changed = sa.update(volume).where(volume.c.id == self.volumes["sim"])
            connection.execute(changed.values(metadata={"image_owner": connection.execute(owner).scalar_one()}))
        for volume in (self.volumes[backend] for backend in ("sim", "dir", "weak")):
            world.wait(
                lambda at=f"/volumes/{volume}/replication": world.call("GET", at)["replication"]["last_in_step_at"]
            )
        world.settle()


def is_gone(world: World, kind: str, resource_id: str) -> bool:
    try:
        world.call("GET", f"/{kind}/{resource_id}")
    except NotFound:
        return True
    return False
