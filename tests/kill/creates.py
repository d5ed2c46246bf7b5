"""Creates, by source and rung."""

from typing import Any

from breezeblock.drivers.contract import AdoptsImages
from tests.kill.base import Base, fresh
from tests.kill.world import World


class Create:
    """A volume of some source: available with its content, or in error with nothing left; then deleted without trace."""

    outcomes = {"available"}
    background = ()
    flows: tuple[str, ...] = ("create_volume",)

    def __init__(self, name: str, volume_type: str, content: str | None, source, size=1, outcomes=("available",)):
        self.name, self.volume_type, self.content_sha, self.source, self.size = (
            name,
            volume_type,
            content,
            source,
            size,
        )
        self.outcomes = set(outcomes)

    def prepare(self, world: World, base: Base) -> dict[str, Any]:
        source = self.source(world, base)
        return {"name": fresh(), "size": self.size, "volume_type": self.volume_type, **source}

    def ask(self, world: World, base: Base, state) -> None:
        world.client.call("POST", "/volumes", {"volume": state})

    def again(self, world: World, base: Base, state) -> None:
        if world.find("volumes", state["name"]) is None:
            self.ask(world, base, state)

    def outcome(self, world: World, base: Base, state) -> str:
        found = world.find("volumes", state["name"])
        assert found is not None
        operations = world.call("GET", f"/operations?resource_id={found['id']}")["operations"]
        assert [one["kind"] for one in operations] == list(self.flows), operations
        if found["status"] == "available":
            content = world.content(found["id"])
            assert self.content_sha in (None, content), "another content"
            assert found["size"] == self.size
        else:
            assert found["status"] == "error", found["status"]
            assert operations[0]["message"], operations
        return str(found["status"])

    def clean(self, world: World, base: Base, state) -> None:
        world.remove("volumes", world.find("volumes", state["name"])["id"])
        assert world.find("volumes", state["name"]) is None


class CreateLazily(Create):
    """A volume that is available before its image is fetched; the image follows by a flow of its own."""

    flows = ("hydrate_volume", "create_volume")


class CreateAdopted(Create):
    """A volume that stands on its image's own file, which is turned into a raw one by a flow of its own."""

    flows = ("settle_image", "create_volume")

    def outcome(self, world: World, base: Base, state) -> str:
        driver = world.drivers[self.volume_type]
        assert isinstance(driver, AdoptsImages)
        assert list(driver.list_adopted()) == []
        return super().outcome(world, base, state)


def of_cached_image(world: World, base: Base) -> dict[str, Any]:
    image = world.image()
    filler = world.made("volumes", size=1, name=fresh(), imageRef=image, volume_type="sim")
    world.remove("volumes", filler)
    return {"imageRef": image}
