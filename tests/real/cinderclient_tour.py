"""Who tours cinderclient: three users of a real cloud, and what they make."""

import uuid
from functools import cache
from typing import Any

import openstack
from cinderclient.client import Client, discover_extensions

from tests.real.conftest import Cloud
from tests.real.identity import REGION
from tests.real.touring import until

NEWEST = "3.71"


class Tour:
    """The block storage of three users, and what they make. `admin` is in another project than `user`."""

    def __init__(self, cloud: Cloud, image_id: str, damaged_id: str) -> None:
        self.project_id, self.other_id = cloud.project_ids["demo"], cloud.project_ids["other"]
        self.image_id, self.damaged_id = image_id, damaged_id
        self._tag = uuid.uuid4().hex[:8]
        config = openstack.config.OpenStackConfig(config_files=[str(cloud.clouds_yaml)])
        self._session = cache(lambda name: config.get_one(cloud=name).get_session())
        self.user, self.admin, self.other = (self.client(name) for name in ("demo", "admin", "other"))

    def client(self, name: str, version: str = NEWEST) -> Any:
        """A client of a user, by a microversion."""
        extensions = discover_extensions("3")
        return Client(version, session=self._session(name), region_name=REGION, extensions=extensions)

    def named(self, what: str) -> str:
        """A name that only this tour has given."""
        return f"{what}-{self._tag}"

    def wait(self, thing: Any, status: str = "available") -> Any:
        """What something has become, once it has a status."""
        return self.wait_for(thing.manager, thing.id, status)

    def wait_for(self, manager: Any, thing_id: str, status: str = "available") -> Any:
        """The same by an id."""
        ends = {status, "error", "error_deleting"}
        found = until(lambda: manager.get(thing_id), lambda one: one.status in ends)
        assert found.status == status, found.to_dict()
        return found

    def gone(self, *things: Any) -> None:
        """Until things are deleted."""
        until(lambda: [it for it in things if it.id in {one.id for one in it.manager.list()}], lambda left: not left)

    def volume(self, **wanted: Any) -> Any:
        """A volume that is available."""
        return self.wait(self.user.volumes.create(**{"size": 1, **wanted}))

    def as_admin(self, volume: Any) -> Any:
        """The same volume in the hands of the administrator."""
        return self.admin.volumes.get(volume.id)

    def pool_of(self, volume: Any) -> str:
        """The pool that a volume is in."""
        host: str = getattr(self.as_admin(volume), "os-vol-host-attr:host")
        return host
