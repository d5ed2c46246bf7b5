"""Images: uploaded, made of a volume, fetched into the cache."""

from tests.kill.attached import Attached
from tests.kill.base import fresh
from tests.kill.verbs import Verb
from tests.kill.world import PAYLOAD, PAYLOAD_SHA


class Upload:
    """An image gets its data; one whose upload was cut short gets it by another."""

    outcomes = {"active"}
    background = ()

    def __init__(self, name):
        self.name = name

    def prepare(self, world, base):
        return {"image": world.new_image()}

    def ask(self, world, base, state):
        world.upload(state["image"], PAYLOAD)

    def again(self, world, base, state):
        if world.image_status(state["image"]) != "active":
            self.ask(world, base, state)

    def outcome(self, world, base, state):
        world.wait(lambda: world.image_status(state["image"]) == "active")
        volume = world.made("volumes", size=1, name=fresh(), imageRef=state["image"], volume_type="plain")
        assert world.content(volume) == PAYLOAD_SHA
        world.remove("volumes", volume)
        return "active"

    def clean(self, world, base, state):
        pass


class UploadImage(Verb):
    """An image is made of a volume; a volume of that has its content."""

    disk_format = "qcow2"

    def copied(self, world, image):
        """A volume of the image."""
        return world.made("volumes", size=1, name=fresh(), imageRef=image, volume_type="plain")

    def ask(self, world, base, state):
        state.setdefault("operations", world.count_operations())
        wanted = {"image_name": f"of-{state['volume']}", "disk_format": self.disk_format, "container_format": "bare"}
        body = {"os-volume_upload_image": {**wanted, "force": True}}
        world.client.call("POST", f"/volumes/{state['volume']}/action", body)

    def is_asked(self, world, base, state):
        return world.count_operations() > state["operations"]

    def outcome(self, world, base, state):
        copy = self.copied(world, world.image_of(f"of-{state['volume']}"))
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        return super().outcome(world, base, state)


class UploadSecret(UploadImage):
    """An image that is the container; a volume of it is under a key of its own, and the image's key goes with the image."""

    disk_format = "raw"

    def copied(self, world, image):
        copy = world.made("volumes", size=1, name=fresh(), imageRef=image, volume_type=self.backend)
        world.delete_image(image)
        world.settle()
        return copy


class ForgetImageKey(Verb):
    """The image of an encrypted volume is deleted, and its key with it."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        body = {"os-volume_upload_image": {"image_name": f"of-{state['volume']}"}}
        world.call("POST", f"/volumes/{state['volume']}/action", body)
        world.settle()
        return {**state, "image": world.image_of(f"of-{state['volume']}")}

    def ask(self, world, base, state):
        world.delete_image(state["image"])

    def is_asked(self, world, base, state):
        return not world.has_image(state["image"])


class LiveUpload(Attached, UploadImage):
    pass


class Prefetch(Verb):
    """An image fetched into the cache for nobody yet; the one that is there makes room for it."""

    def prepare(self, world, base):
        Prefetch.ask(self, world, base, {"image": world.image()})
        world.settle()
        return {"image": world.image()}

    def ask(self, world, base, state):
        world.client.call("POST", "/image-cache", {"prefetch": {"image_id": state["image"], "backend": "here@sim"}})

    def is_asked(self, world, base, state):
        return bool(self.entries(world, state))

    def entries(self, world, state):
        return world.call("GET", f"/image-cache?image_id={state['image']}")["image_cache"]

    def outcome(self, world, base, state):
        (entry,) = self.entries(world, state)
        assert entry["status"] == "cached", entry
        assert world.content(entry["id"]) == PAYLOAD_SHA, "another content"
        return "done"

    def clean(self, world, base, state):
        pass


class Evict(Prefetch):
    """What is cached is dropped, its volume with it."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        Prefetch.ask(self, world, base, state)
        world.settle()
        return state

    def ask(self, world, base, state):
        (entry,) = self.entries(world, state)
        world.client.call("DELETE", f"/image-cache/{entry['id']}")

    def is_asked(self, world, base, state):
        return not self.entries(world, state)

    def outcome(self, world, base, state):
        assert self.entries(world, state) == []
        return "done"


class Together:
    """Several volumes of an image that is not cached, asked for at once: all there, by one fill."""

    name = "cached-together"
    volume_type = "sim"
    outcomes = {"available"}
    background = ()

    def prepare(self, world, base):
        return {"image": world.image(), "names": [fresh() for _ in range(4)]}

    def ask(self, world, base, state):
        for name in state["names"]:
            if world.find("volumes", name) is None:
                wanted = {"name": name, "size": 1, "imageRef": state["image"], "volume_type": self.volume_type}
                world.client.call("POST", "/volumes", {"volume": wanted})

    again = ask

    def outcome(self, world, base, state):
        for name in state["names"]:
            found = world.find("volumes", name)
            assert found["status"] == "available", found
            assert world.content(found["id"]) == PAYLOAD_SHA, "another content"
        self.require_one_download(world, state)
        return "available"

    def require_one_download(self, world, state):
        (entry,) = Prefetch.entries(self, world, state)
        (fill,) = world.call("GET", f"/operations?resource_id={entry['id']}")["operations"]
        assert (fill["kind"], fill["state"]) == ("fill_image_cache", "succeeded")

    def clean(self, world, base, state):
        for name in state["names"]:
            world.remove("volumes", world.find("volumes", name)["id"])


class SharedDownload(Together):
    """The same where there is no cache: one of them fetches, and leaves a copy for the others that is gone in the end."""

    name = "download-together"
    volume_type = "slow"

    def require_one_download(self, world, state):
        kept = [one["name"] for one in world.call("GET", "/volumes/detail?all_tenants=1")["volumes"]]
        assert f"image-{state['image']}" not in kept, kept
