"""What lies on a storage and belongs to nobody becomes volumes and snapshots, and these become such again."""

import os
import subprocess
import threading
import uuid

import pytest

from breezeblock.db import moves, quotas
from breezeblock.errors import InvalidInput, InvalidState, NotFound
from breezeblock.services import attachments, manage, snapshots, volumes
from tests.cloud import ADMIN, MEMBER, Cloud

SECTIONS = {"simulated": "volume_driver = simulated\n", "directory": "volume_driver = directory\n"}
CONTENT = b"kept" * 100_000


class Managed(Cloud):
    """A cloud, and short ways to manage what lies on its backend."""

    def write(self, volume):
        self.driver.copy_image_to_volume(volume, f"test:{uuid.uuid4()}", lambda to: to.pwrite(CONTENT, 1 << 20))
        return volume

    def read(self, thing):
        with self.driver.open_volume(thing) as source:
            return source.pread(len(CONTENT), 1 << 20)

    def manage(self, source, **more):
        request = manage.ManageVolume(host=self.backend.name, reference={"source-name": source}, **more)
        volume = manage.manage_volume(self.database, self.settings, ADMIN, request)
        return volume, self.settled(volume.id)

    def unmanage(self, volume):
        manage.unmanage_volume(self.database, ADMIN, volume.id)
        return self.settled(volume.id)

    def snap(self, volume):
        taken = snapshots.create_snapshot(self.database, self.settings, MEMBER, volume_id=volume.id)
        self.settled(taken.id)
        return taken

    def listed(self, kind="volume"):
        found = manage.manageable(self.database, ADMIN, self.backend.name, kind)
        return {one["reference"]["source-name"]: one for one in found}


@pytest.fixture(params=list(SECTIONS))
def cloud(request, tmp_path):
    yield from running(tmp_path, request.param)


@pytest.fixture
def directory(tmp_path):
    """A cloud on files, and where those lie that belong to nobody."""
    yield from running(tmp_path, "directory")


def running(tmp_path, kind):
    conf = "[DEFAULT]\nenabled_backends = one\nquota_gigabytes = 10\n[one]\n" + SECTIONS[kind]
    cloud = Managed(tmp_path, conf)
    with cloud.running():
        yield cloud
    cloud.close()


def foreign(cloud, name, content=CONTENT):
    """A file that an administrator has put there."""
    path = cloud.settings.data_dir / "volumes" / "unmanaged" / name
    with open(path, "wb") as file:
        file.seek(1 << 20)
        file.write(content)
    return path


def test_a_volume_is_unmanaged_and_managed_again(cloud):
    volume = cloud.write(cloud.made(size=2))
    operation = cloud.unmanage(volume)
    assert (operation.kind, operation.state) == ("unmanage_volume", "succeeded")
    with pytest.raises(NotFound):
        cloud.volume(volume.id)
    assert list(cloud.driver.list_objects()) == []
    told = cloud.listed()[volume.storage_name]
    assert (told["size"], told["safe_to_manage"], told["cinder_id"]) == (2, True, None)
    managed, operation = cloud.manage(volume.storage_name, name="again", bootable=True)
    assert (managed.status, operation.state) == ("managing", "succeeded"), operation
    managed = cloud.volume(managed.id)
    assert (managed.status, managed.size, managed.name, managed.bootable) == ("available", 2, "again", True)
    assert managed.launched_at
    assert cloud.read(managed) == CONTENT
    assert list(cloud.driver.list_objects()) == [managed.storage_name]
    told = cloud.listed()[managed.storage_name]
    assert (told["safe_to_manage"], told["reason_not_safe"], told["cinder_id"]) == (
        False,
        "already managed",
        managed.id,
    )
    events = [event.type for event in cloud.events() if "manage" in event.type]
    assert events == [f"volume.{verb}.{end}" for verb in ("unmanage", "manage_existing") for end in ("start", "end")]
    with cloud.database.read() as connection:
        assert quotas.usage(connection, "project").volume_gigabytes == 2


def test_a_snapshot_is_unmanaged_and_managed_again(cloud):
    volume = cloud.write(cloud.made(size=1))
    taken = cloud.snap(volume)
    cloud.driver.copy_image_to_volume(volume, "nothing", lambda to: None)
    manage.unmanage_snapshot(cloud.database, ADMIN, taken.id)
    assert cloud.settled(taken.id).state == "succeeded"
    assert taken.storage_name in cloud.listed("snapshot")
    reference = {"source-name": f"_{taken.storage_name}"}
    fields = {"name": "n", "metadata": {"k": "v"}}
    again = manage.manage_snapshot(cloud.database, cloud.settings, ADMIN, volume.id, reference, **fields)
    assert cloud.settled(again.id).state == "succeeded"
    again = cloud.snapshot(again.id)
    assert (again.status, again.volume_size, again.progress, again.metadata) == ("available", 1, "100%", {"k": "v"})
    assert cloud.read(again) == CONTENT
    assert cloud.read(cloud.made(snapshot_id=again.id)) == CONTENT
    told = cloud.listed("snapshot")[again.storage_name]
    assert told["source_reference"] == {"source-name": volume.storage_name}


def test_what_was_cloned_outlives_what_it_was_cloned_of(cloud):
    """Whatever an unmanaged volume shared with others, it takes along, and leaves them theirs."""
    first = cloud.write(cloud.made(size=1))
    clone = cloud.made(source_volid=first.id)
    for volume in (clone, first):
        assert cloud.unmanage(volume).state == "succeeded"
    for volume in (first, clone):
        managed, _ = cloud.manage(volume.storage_name)
        assert cloud.read(managed) == CONTENT


def test_what_cannot_be_unmanaged(cloud):
    volume = cloud.made(size=1)
    cloud.snap(volume)
    with pytest.raises(InvalidState, match="snapshots"):
        manage.unmanage_volume(cloud.database, ADMIN, volume.id)
    attached = cloud.made(size=1)
    attachments.create_attachment(cloud.database, MEMBER, volume_id=attached.id)
    with pytest.raises(InvalidState, match="attached"):
        manage.unmanage_volume(cloud.database, ADMIN, attached.id)


def test_a_reference_of_nothing(cloud):
    volume, operation = cloud.manage("volume-nothing")
    assert operation.state == "failed"
    volume = cloud.volume(volume.id)
    assert (volume.status, volume.size) == ("error_managing", 0)
    volumes.delete_volume(cloud.database, ADMIN, volume.id)
    assert cloud.settled(volume.id).state == "succeeded"


def test_no_quota_for_what_is_found(cloud):
    volume = cloud.made(size=9)
    cloud.unmanage(volume)
    cloud.made(size=5)
    managed, operation = cloud.manage(volume.storage_name)
    assert (operation.state, cloud.volume(managed.id).status) == ("failed", "error_managing")
    assert cloud.listed()[volume.storage_name]["safe_to_manage"]


def test_what_is_managed_is_not_managed_twice(cloud):
    volume = cloud.made(size=1)
    with pytest.raises(InvalidState, match="already managed"):
        cloud.manage(volume.storage_name)
    request = manage.ManageVolume(host="nowhere@one", reference={"source-name": "x"})
    with pytest.raises(InvalidInput, match="not found"):
        manage.manage_volume(cloud.database, cloud.settings, ADMIN, request)
    with pytest.raises(NotFound):
        manage.manageable(cloud.database, ADMIN, "nowhere@one", "volume")


def test_files_of_others(directory):
    """Raw and qcow2 files become volumes where they lie; what is none, or hangs on something, is told and refused."""
    raw = foreign(directory, "raw.img")
    qcow2 = raw.with_name("disk.qcow2")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    over = raw.with_name("over.qcow2")
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", qcow2, "-F", "qcow2", over]
    subprocess.run(command, check=True)
    raw.with_name("link").symlink_to("/etc/passwd")
    raw.with_name("disk.vmdk").write_bytes(b"KDMV" + bytes(1000))
    os.link(foreign(directory, "twice"), directory.settings.data_dir / "elsewhere")
    told = {name: one["safe_to_manage"] for name, one in directory.listed().items()}
    expected = {"raw.img": True, "disk.qcow2": True, "over.qcow2": False, "link": False}
    assert told == expected | {"disk.vmdk": False, "twice": False}
    for name, safe in told.items():
        volume, operation = directory.manage(name)
        assert (operation.state == "succeeded") == safe, operation
        volume = directory.volume(volume.id)
        assert volume.status == ("available" if safe else "error_managing")
        if safe:
            assert directory.read(volume) == CONTENT
            assert directory.read(directory.made(source_volid=volume.id)) == CONTENT
    for name in ("../volumes", ".hidden", "", "a/b"):
        _, operation = directory.manage(name)
        assert operation.state == "failed"


def test_a_driver_that_manages_nothing(cloud, monkeypatch):
    volume = cloud.made(size=1)
    monkeypatch.setattr("breezeblock.flows.manage.Manages", threading.Thread)
    assert "cannot take or leave" in cloud.unmanage(volume).message
    assert cloud.volume(volume.id).status == "error_unmanaging"
    with cloud.database.begin() as connection:
        moves.move(connection, "volume", volume.id, "reset_status", "available")
