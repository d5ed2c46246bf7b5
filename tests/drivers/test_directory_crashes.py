"""A process that dies between any two changes of the disk loses nothing and leaves nothing, once asked again."""

import contextlib
import functools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from breezeblock.drivers.contract import AdoptedFile
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.model.image import Image
from tests.drivers.directory_storage import GIB, a_snapshot, a_volume, content, fill_of, mounted, opened, write

CHANGES = ("fsync", "rename", "link", "unlink", "rmdir", "mkdir", "ftruncate", "pwrite")


class Killed(BaseException):
    """The process is dead: no handler of errors runs."""


class Death:
    """Lets so many changes of the disk happen and none after them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        self.patch = monkeypatch
        for name in CHANGES:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            if self.left <= 0:
                raise Killed
            self.left -= 1
            return real(*arguments, **options)

        return change


@functools.cache
def empty_image() -> bytes:
    """A qcow2 image of 8 MiB, made once."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", file.name, "8M"], check=True)
        return Path(file.name).read_bytes()


@functools.cache
def image_with_data() -> bytes:
    """A compressed qcow2 image of 8 MiB, made once."""
    with tempfile.TemporaryDirectory() as directory:
        raw, made = Path(directory, "raw"), Path(directory, "qcow2")
        raw.write_bytes(bytes(1 << 20) + b"data" * 50_000 + bytes(7 << 20))
        subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", "-f", "raw", raw, made], check=True)
        return made.read_bytes()


class Scene:
    """A volume on a snapshot, written since, and everything that a verb makes of them."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.options = options
        self.driver = opened(directory, **options)
        self.volume, self.new = a_volume(), a_volume(2)
        self.driver.create_volume(self.volume)
        self.driver.copy_image_to_volume(self.volume, "first", fill_of(b"first" * 900, 5000))
        self.kept = a_snapshot(self.volume)
        self.driver.create_snapshot(self.kept, self.volume)
        write(self.driver, self.volume, 2, 80)
        self.snapshot = a_snapshot(self.volume)
        self.image = Image(id="5f6c1f5e-0000-4000-8000-000000000001", disk_format="qcow2", checksum="c")
        self.image_path = directory / "image.qcow2"
        self.image_path.write_bytes(empty_image())

    def adopt(self, driver: DirectoryDriver, *, settle: bool = False) -> None:
        """Let the volume stand on an image's own file."""
        file = AdoptedFile(8 << 20, len(image_with_data()))
        driver.adopt_image(self.volume, "image:adopted", file, fill_of(image_with_data()))
        if settle:
            driver.settle_image(self.volume.storage_name)

    def contents(self) -> dict[str, str]:
        """What is on the storage now, by name."""
        names = set(self.driver.list_objects())
        things = (self.volume, self.kept, self.new, self.snapshot)
        return {str(thing.id): content(self.driver, thing) for thing in things if thing.storage_name in names}

    def reopen(self, mending: bool) -> None:
        """As a new process does; without mending where the dead one is thought to live still."""
        if mending:
            self.driver.close()
        self.dead = self.driver
        self.driver = opened(self.directory, **self.options)

    def remove_all(self) -> None:
        """Delete everything, open once more, and hold that nothing is left."""
        for volume in (self.volume, self.new):
            self.driver.delete_volume(volume)
        for snapshot in (self.kept, self.snapshot):
            self.driver.delete_snapshot(snapshot)
        self.dead.close()
        self.driver.close()
        self.driver = opened(self.directory, **self.options)
        root = self.driver._store.root
        assert [str(path) for path in root.glob("*/*")] == []
        self.driver.close()


Verb = Callable[[DirectoryDriver, Scene], object]
VERBS: dict[str, Verb] = {
    "create": lambda driver, scene: driver.create_volume(scene.new),
    "fill": lambda driver, scene: driver.copy_image_to_volume(scene.volume, "second", fill_of(b"x" * 9000)),
    "snapshot": lambda driver, scene: driver.create_snapshot(scene.snapshot, scene.volume),
    "from snapshot": lambda driver, scene: driver.create_volume_from_snapshot(scene.new, scene.kept),
    "clone": lambda driver, scene: driver.create_cloned_volume(scene.new, scene.volume),
    "extend": lambda driver, scene: driver.extend_volume(scene.volume, 3),
    "delete volume": lambda driver, scene: driver.delete_volume(scene.volume),
    "delete snapshot": lambda driver, scene: driver.delete_snapshot(scene.kept),
    "revert": lambda driver, scene: driver.revert_to_snapshot(scene.volume, scene.kept),
    "adopt": lambda driver, scene: scene.adopt(driver),
    "adopt and settle": lambda driver, scene: scene.adopt(driver, settle=True),
    "image": lambda driver, scene: driver.clone_image(scene.new, scene.image, str(scene.image_path)),
}
CHANGES_THE_VOLUME = {"fill", "revert", "adopt", "adopt and settle", "extend", "delete volume"}


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted("xfs", tmp_path_factory.mktemp("xfs")) as directory:
        yield directory


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory where putting things on the disk costs nothing, if there is one."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def outcome(directory: Path, verb: Verb, options: dict[str, Any]) -> dict[str, str]:
    """What the verb makes when nobody dies, without the ids of this run."""
    scene = Scene(directory, **options)
    verb(scene.driver, scene)
    made = by_role(scene, scene.contents())
    scene.reopen(mending=True)
    scene.remove_all()
    return made


def by_role(scene: Scene, contents: dict[str, str]) -> dict[str, str]:
    roles = {
        scene.volume.id: "volume",
        scene.kept.id: "kept",
        scene.new.id: "new",
        scene.snapshot.id: "snapshot",
    }
    return {roles[id]: digest for id, digest in contents.items()}


def die_everywhere(directory: Path, name: str, mending: bool, options: dict[str, Any]) -> None:
    verb = VERBS[name]
    expected = outcome(directory / "whole", verb, options)
    for after in range(1000):
        scene = Scene(directory / str(after), **options)
        before = by_role(scene, scene.contents())
        with pytest.MonkeyPatch.context() as patch:
            death = Death(patch, after)
            with contextlib.suppress(Killed):
                verb(scene.driver, scene)
            survived = death.left > 0
        scene.reopen(mending)
        now = by_role(scene, scene.contents())
        for role in before.keys() - ({"volume"} if name in CHANGES_THE_VOLUME else set()):
            if role == "kept" and name == "delete snapshot":
                continue
            assert now[role] == before[role], f"{role} changed by a death after {after} changes"
        for role in now.keys() - before.keys():
            assert now[role] == expected[role], f"{role} is half made after {after} changes"
        verb(scene.driver, scene)
        assert by_role(scene, scene.contents()) == expected, f"after {after} changes"
        scene.remove_all()
        if survived:
            assert after > 3
            return


OVERLAYS = {"directory_reflink": "never"}


@pytest.mark.parametrize("mending", [True, False], ids=["mended", "not mended"])
@pytest.mark.parametrize("name", list(VERBS))
def test_dying_with_overlays(memory: Path, name: str, mending: bool) -> None:
    die_everywhere(memory, name, mending, OVERLAYS)


@pytest.mark.parametrize("name", ["snapshot", "from snapshot", "clone"])
def test_dying_while_flattening(memory: Path, name: str) -> None:
    die_everywhere(memory, name, True, OVERLAYS | {"directory_max_chain_depth": 1})


@pytest.mark.parametrize("name", [name for name in VERBS if name != "create"])
def test_dying_with_reflink(xfs: Path, name: str) -> None:
    die_everywhere(xfs / name, name, True, {})


@pytest.mark.parametrize("name", ["snapshot", "clone", "from snapshot", "image"])
def test_undoing_what_was_cut_short(memory: Path, name: str) -> None:
    """Deleted instead of asked again, what was half made leaves nothing, and the sources are as they were."""
    for after in range(1000):
        scene = Scene(memory / str(after), **OVERLAYS)
        before = scene.contents()
        with pytest.MonkeyPatch.context() as patch:
            death = Death(patch, after)
            with contextlib.suppress(Killed):
                VERBS[name](scene.driver, scene)
            survived = death.left > 0
        scene.reopen(mending=True)
        scene.driver.delete_volume(scene.new)
        scene.driver.delete_snapshot(scene.snapshot)
        assert scene.contents() == before
        scene.remove_all()
        if survived:
            return


def test_mending_needs_nothing_but_the_directory(tmp_path: Path) -> None:
    """Who stands on what is written anew from the objects' own records, and dead work is removed."""
    scene = Scene(tmp_path, **OVERLAYS)
    scene.driver.create_cloned_volume(scene.new, scene.volume)
    before = scene.contents()
    root = scene.driver._store.root
    for users in root.glob("bases/*/users"):
        for user in users.iterdir():
            user.unlink()
        (users / "volume-nobody").touch()
    (root / "tmp" / "volume-dead").mkdir()
    (root / "tmp" / "volume-dead" / "disk").write_bytes(b"x" * GIB.bit_length())
    (root / "volumes" / scene.volume.storage_name / "stray").touch()
    scene.reopen(mending=True)
    assert scene.contents() == before
    assert list((root / "tmp").iterdir()) == []
    assert not (root / "volumes" / scene.volume.storage_name / "stray").exists()
    scene.driver.delete_snapshot(scene.kept)
    scene.driver.delete_volume(scene.volume)
    assert scene.contents() == {id: digest for id, digest in before.items() if id == scene.new.id}
    scene.remove_all()
