"""What the RBD driver does beyond the contract, on a real Ceph: formats of clones, depth, capacity, images, hangs, deaths."""

import os
import random
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from breezeblock import commands
from breezeblock.drivers.conformance import Storage, settings_for
from breezeblock.drivers.conformance.storage import CONNECTOR, EMPTY, FIRST, OTHER_CONNECTOR, SECOND, Content, fill_with
from breezeblock.drivers.rbd import binding
from breezeblock.drivers.rbd.driver import RbdDriver, open_driver
from breezeblock.errors import (
    BackendInUse,
    BackendTransient,
    BreezeblockError,
    ConfigError,
    NotSupportedByBackend,
)
from breezeblock.model.image import Image, ImageLocation
from breezeblock.model.volume import Volume
from tests.ceph import Ceph

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

Make = Callable[..., Storage]


@pytest.fixture
def make(ceph: Ceph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """A storage in the pool `volumes`, with these options; all are cleaned."""
    ceph.wipe("volumes")
    monkeypatch.setenv("CEPH_CONF", str(ceph.conf))
    made: list[Storage] = []

    def make(**options: str) -> Storage:
        told = {"rbd_pool": "volumes", "rbd_user": "cinder", "rbd_ceph_conf": str(ceph.conf)} | options
        directory = tmp_path / uuid.uuid4().hex
        directory.mkdir()
        storage = Storage(lambda at: open_driver(settings_for("rbd", at, **told)), directory, _close)
        made.append(storage)
        return storage

    yield make
    for storage in made:
        storage.clean()
    ceph.wait_for_images("volumes")
    for storage in made:
        _close(storage.driver)


def _close(driver: object) -> None:
    assert isinstance(driver, RbdDriver)
    driver.close()


def _driver(storage: Storage) -> RbdDriver:
    assert isinstance(storage.driver, RbdDriver)
    return storage.driver


def _child_of(storage: Storage) -> int:
    """The process that has librbd."""
    line = _driver(storage)._cluster._line
    assert line is not None
    assert line._process is not None
    return line._process.pid


# clones


def test_clones_of_the_first_format(ceph: Ceph, make: Make, tmp_path: Path) -> None:
    """Where a cluster knows those alone, snapshots and volumes go in any order, and nothing stays behind."""
    old = tmp_path / "old.conf"
    old.write_text(ceph.conf.read_text().replace("[client]", "[client]\nrbd_default_clone_format = 1"))
    storage = make(rbd_ceph_conf=str(old))
    volume = storage.volume(FIRST)
    snapshot = storage.snapshot(volume)
    copy, clone = storage.from_snapshot(snapshot), storage.clone(volume)
    assert ceph.told("rbd", "info", f"volumes/{copy.storage_name}")["parent"]["snapshot"] == snapshot.storage_name
    storage.require_objects(volume, snapshot, copy, clone)
    storage.driver.delete_snapshot(snapshot)
    storage.driver.delete_volume(volume)
    storage.require_objects(copy, clone)
    grandchild = storage.clone(clone)
    storage.driver.delete_volume(clone)
    for thing in (copy, grandchild):
        storage.require_content(thing, FIRST)
        storage.driver.delete_volume(thing)
    ceph.wait_for_images("volumes")


def test_clones_are_flattened_when_they_are_too_deep(ceph: Ceph, make: Make) -> None:
    """`rbd_max_clone_depth` images at most are below one."""
    storage = make(rbd_max_clone_depth="2")
    volumes = [storage.volume(FIRST)]
    for _ in range(4):
        volumes.append(storage.clone(volumes[-1]))
    parents = ["parent" in ceph.told("rbd", "info", f"volumes/{one.storage_name}") for one in volumes]
    assert parents == [False, True, True, False, True]
    for one in volumes:
        storage.require_content(one, FIRST)
        storage.driver.delete_volume(one)


def test_clones_of_what_nobody_wrote_to_share_a_moment(ceph: Ceph, make: Make) -> None:
    """A write gives the next clone a moment of its own, and so does a client that has the source open; all go in the end."""
    storage = make()
    source = storage.volume(FIRST)

    def moment_of(clone: Volume) -> str:
        parent: str = ceph.told("rbd", "info", f"volumes/{clone.storage_name}")["parent"]["snapshot"]
        return parent

    first, second = storage.clone(source), storage.clone(source)
    assert moment_of(first) == moment_of(second)
    storage.driver.delete_volume(first)
    ceph.wait_for_images("volumes", source.storage_name, second.storage_name)
    third = storage.clone(source)
    storage.require_content(second, FIRST)
    uri = f"rbd:volumes/{source.storage_name}:id=cinder:conf={ceph.conf}"
    subprocess.run(["qemu-io", "-f", "raw", "-c", "write -P 0x5a 0 4k", uri], check=True, capture_output=True)
    fourth = storage.clone(source)
    assert len({moment_of(one) for one in (second, third, fourth)}) == 3
    with _driver(storage).open_volume(fourth) as opened:
        assert opened.pread(4096, 0) == b"\x5a" * 4096
    for one in (second, third):
        storage.require_content(one, FIRST)
    rados, rbd = binding.load()
    with (
        rados.Rados(rados_id="cinder", conffile=str(ceph.conf)) as cluster,
        cluster.open_ioctx("volumes") as io,
        rbd.Image(io, source.storage_name),
    ):
        fifth = storage.clone(source)
    assert moment_of(fifth) != moment_of(fourth)
    for one in (source, third, second, fifth, fourth):
        storage.driver.delete_volume(one)
    ceph.wait_for_images("volumes")


def test_a_shared_moment_that_goes_before_it_is_cloned(ceph: Ceph, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own clone was deleted just then: the next one takes a moment for itself."""
    storage = make()
    source = storage.volume(FIRST)
    first = storage.clone(source)
    store = _driver(storage)._store
    keep, gone = store.snapshot, []

    def lose(name: str, snapshot: str, *, or_moment: bool = False) -> Any:
        kept, header = keep(name, snapshot, or_moment=or_moment)
        if kept != snapshot:
            ceph.run("rbd", "snap", "rm", f"volumes/{name}@{kept}")
            gone.append(kept)
        return kept, header

    monkeypatch.setattr(store, "snapshot", lose)
    second = storage.clone(source)
    assert len(gone) == 1
    parent = ceph.told("rbd", "info", f"volumes/{second.storage_name}")["parent"]["snapshot"]
    assert parent.startswith(f"clone-{second.storage_name}")
    for one in (first, second):
        storage.require_content(one, FIRST)
        storage.driver.delete_volume(one)
    storage.driver.delete_volume(source)
    ceph.wait_for_images("volumes")


def test_a_name_that_a_dead_client_removed_keeps_nobody_from_deleting(ceph: Ceph, make: Make) -> None:
    """The object that leads from a name to its image is the first that goes of an image."""
    storage = make()
    volume = storage.volume(FIRST)
    ceph.run("rados", "--pool", "volumes", "rm", f"rbd_id.{volume.storage_name}")
    storage.driver.delete_volume(volume)
    ceph.wait_for_images("volumes")


def test_volumes_of_snapshots_are_flattened_where_asked(ceph: Ceph, make: Make) -> None:
    """`rbd_flatten_volume_from_snapshot`."""
    storage = make(rbd_flatten_volume_from_snapshot="true")
    copy = storage.from_snapshot(storage.snapshot(storage.volume(FIRST)))
    assert "parent" not in ceph.told("rbd", "info", f"volumes/{copy.storage_name}")
    storage.require_content(copy, FIRST)


def test_zeros_stay_holes(ceph: Ceph, make: Make) -> None:
    """What was not written takes no room."""
    storage = make()
    volume = storage.volume({0: b"x" * 4096, 1 << 29: b"y" * 4096})
    (usage,) = ceph.told("rbd", "du", f"volumes/{volume.storage_name}")["images"]
    assert usage["used_size"] <= 8 << 20


# what hosts and the scheduler are told


def test_the_connection_is_cinders(ceph: Ceph, make: Make) -> None:
    """All keys of Cinder's RBD driver, and no others."""
    storage = make(rbd_secret_uuid="457eb676-33da-42ec-9a8c-9293d545c337")
    volume = storage.volume()
    connection = storage.driver.initialize_connection(volume, CONNECTOR)
    address = ceph.told("ceph", "mon", "dump")["mons"][0]["addr"]
    assert connection == {
        "driver_volume_type": "rbd",
        "data": {
            "name": f"volumes/{volume.storage_name}",
            "hosts": ["127.0.0.1"],
            "ports": [address.partition("/")[0].rpartition(":")[2]],
            "cluster_name": "ceph",
            "auth_enabled": True,
            "auth_username": "cinder",
            "secret_type": "ceph",
            "secret_uuid": "457eb676-33da-42ec-9a8c-9293d545c337",
            "volume_id": volume.id,
            "discard": True,
        },
    }


def test_the_keyring_is_told_on_request_alone(ceph: Ceph, make: Make) -> None:
    """`rbd_keyring_conf`."""
    keyring = ceph.home / "ceph.client.cinder.keyring"
    storage = make(rbd_keyring_conf=str(keyring))
    data = storage.driver.initialize_connection(storage.volume(), CONNECTOR)["data"]
    assert data["keyring"] == keyring.read_text()


def test_capacity_is_the_pools(ceph: Ceph, make: Make) -> None:
    """Free is what the pool may still get; total what is used and free, or the quota, or the cluster."""
    dynamic = make()
    (pool,) = dynamic.driver.get_volume_stats()
    _close(dynamic.driver)
    static = make(report_dynamic_total_capacity="false")
    (cluster,) = static.driver.get_volume_stats()
    assert 10 < pool.free_capacity_gb <= pool.total_capacity_gb <= cluster.total_capacity_gb == 20
    ceph.run("ceph", "osd", "pool", "set-quota", "volumes", "max_bytes", str(3 << 30))
    try:
        (limited,) = static.driver.get_volume_stats()
        assert limited.total_capacity_gb == 3
        assert 2.9 <= limited.free_capacity_gb <= 3
    finally:
        ceph.run("ceph", "osd", "pool", "set-quota", "volumes", "max_bytes", "0")


def test_a_volume_that_somebody_has_open_is_not_deleted(ceph: Ceph, make: Make) -> None:
    """A client that is there although no connection was made for it counts too."""
    storage = make()
    volume = storage.volume(FIRST)
    uri = f"rbd:volumes/{volume.storage_name}:id=cinder:conf={ceph.conf}"
    held = threading.Event()

    def hold() -> None:
        argv = [commands.find("qemu-io", "qemu-utils"), "-f", "raw", "-c", "write 0 512", "-c", "sleep 20000", uri]
        with commands.running(
            argv, limits=commands.Limits(address_space=1 << 40, user=None, network=True), pass_fds=()
        ):
            held.wait(60)

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        try:
            deadline = time.monotonic() + 60
            while not ceph.told("rbd", "status", f"volumes/{volume.storage_name}")["watchers"]:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            with pytest.raises(BackendInUse):
                storage.driver.delete_volume(volume)
        finally:
            held.set()
            holding.result()
    # the client was killed: its watch goes with it, or is shut out as Ceph does with a client that died
    for watcher in ceph.told("rbd", "status", f"volumes/{volume.storage_name}")["watchers"]:
        ceph.run("ceph", "osd", "blocklist", "add", watcher["address"])
    storage.require_objects(volume)


# images


def _glance_image(ceph: Ceph, name: str, tmp_path: Path) -> str:
    """An image as Glance's rbd store keeps it; its location."""
    file = tmp_path / name
    file.write_bytes(b"image" * 4096)
    with file.open("r+b") as grown:
        grown.truncate(64 << 20)
    ceph.run("rbd", "import", file, f"images/{name}", user="glance")
    ceph.run("rbd", "snap", "create", f"images/{name}@snap", user="glance")
    ceph.run("rbd", "snap", "protect", f"images/{name}@snap", user="glance")
    return f"rbd://{ceph.fsid}/images/{name}/snap"


def test_an_image_in_the_same_cluster_is_cloned(ceph: Ceph, make: Make, tmp_path: Path) -> None:
    """At the volume's size, by its direct_url or one of its locations; twice is once."""
    storage = make()
    url = _glance_image(ceph, "cloned", tmp_path)
    content: Content = {0: b"image" * 4096}
    for image in (
        Image(id="i", disk_format="raw", direct_url=url),
        Image(id="j", disk_format="raw", locations=[ImageLocation(url="file:///x"), ImageLocation(url=url)]),
    ):
        volume = storage.volume_record(size=2)
        for _ in range(2):
            assert _driver(storage).clone_image(volume, image, None) == ({}, True)
        assert ceph.told("rbd", "info", f"volumes/{volume.storage_name}")["parent"]["image"] == "cloned"
        storage.require_content(volume, content, size=2)
        storage.require_content(storage.clone(volume, size=2), content, size=2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"disk_format": "qcow2"}, "raw images only"),
        ({"direct_url": "http://x/y"}, "not in Ceph"),
        ({"direct_url": "rbd://one/two"}, "names no snapshot"),
        ({"direct_url": "rbd://other/images/declined/snap"}, "another Ceph cluster"),
        ({"direct_url": "rbd://FSID/images/declined/other"}, "There is no images/declined@other"),
        ({"direct_url": "rbd://FSID/nowhere/declined/snap"}, "nowhere"),
        ({"direct_url": "rbd://FSID/images/..%2Fx/snap"}, "There is no"),
        ({"direct_url": None}, "no location"),
    ],
)
def test_other_images_are_declined(ceph: Ceph, make: Make, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """With the reason, and nothing left."""
    storage = make()
    if "declined" not in ceph.images("images"):
        _glance_image(ceph, "declined", tmp_path)
    told = {"disk_format": "raw", "direct_url": f"rbd://{ceph.fsid}/images/declined/snap"} | change
    if told["direct_url"]:
        told["direct_url"] = told["direct_url"].replace("FSID", ceph.fsid)
    with pytest.raises(NotSupportedByBackend, match=reason):
        _driver(storage).clone_image(storage.volume_record(), Image(id="i", **told), None)
    assert ceph.images("volumes") == []


# what goes wrong


def test_what_is_missing_is_named(ceph: Ceph, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong pool, user or configuration, and a missing package, are errors that say so."""
    for options in (
        {"rbd_pool": "nowhere"},
        {"rbd_user": "nobody"},
        {"rbd_ceph_conf": "/nowhere/ceph.conf"},
    ):
        with pytest.raises(ConfigError, match=r"nowhere|nobody"):
            make(**options)
    monkeypatch.setattr(binding, "DIRECTORIES", ())
    with pytest.raises(ConfigError, match="python3-nothing"):
        binding._load("nothing")


def test_a_cluster_that_hangs(ceph: Ceph, make: Make) -> None:
    """Calls fail within the timeout, later ones at once; when the cluster is back so is the backend, and nothing is lost."""
    storage = make(rbd_operation_timeout="4", rados_connection_retries="1")
    volume = storage.volume(FIRST)
    ceph.stop("osd")
    try:
        with ThreadPoolExecutor(8) as threads:
            hanging = [threads.submit(storage.clone, volume) for _ in range(4)]
            hanging += [threads.submit(storage.volume) for _ in range(4)]
            for one in hanging:
                assert isinstance(one.exception(), BackendTransient)
        with pytest.raises(BackendTransient, match="Ceph"):
            storage.snapshot(volume)
    finally:
        ceph.resume("osd")
    _until_it_answers(storage)
    storage.require_content(volume, FIRST)
    storage.require_content(storage.clone(volume), FIRST)
    for record in storage.volumes:
        storage.driver.delete_volume(record)
    storage.require_objects(*storage.snapshots[1:])


def test_a_daemon_that_dies_in_the_middle(ceph: Ceph, make: Make) -> None:
    """OSD and monitor are killed under a fill and started again: it goes on."""
    storage = make()
    volume = storage.volume()

    def fill(target) -> None:
        target.pwrite(b"a" * (8 << 20), 0)
        for name in ("osd", "mon"):
            ceph.kill(name)
            ceph.start(name)
        target.pwrite(b"b" * (8 << 20), 8 << 20)

    storage.driver.copy_image_to_volume(volume, "test:killed", fill)
    ceph.wait_for_osd()
    storage.require_content(volume, {0: b"a" * (8 << 20), 8 << 20: b"b" * (8 << 20)})


def test_a_child_that_dies_in_a_fill(make: Make) -> None:
    """The fill fails as one that may be tried again, and the image that was open is no obstacle to the next one."""
    storage = make()
    volume = storage.volume()

    def fill(target) -> None:
        target.pwrite(b"x" * 4096, 0)
        os.kill(_child_of(storage), signal.SIGKILL)
        while True:
            target.pwrite(b"x" * 4096, 4096)

    with pytest.raises(BackendTransient):
        storage.driver.copy_image_to_volume(volume, "test:dies", fill)
    storage.require_content(volume, EMPTY)
    storage.write(volume, SECOND)
    storage.require_content(volume, SECOND)


def test_children_that_die_at_any_moment(ceph: Ceph, make: Make) -> None:
    """Killed at random while it works, each verb called again ends well, and nothing is left in the pool."""
    storage = make()
    chance = random.Random(6)
    for _ in range(6):
        volume, clone = storage.volume_record(), storage.volume_record()
        snapshot = storage.snapshot_record(volume)
        for verb, *arguments in (
            ("create_volume", volume),
            ("copy_image_to_volume", volume, "test:first", fill_with(FIRST)),
            ("create_snapshot", snapshot, volume),
            ("create_cloned_volume", clone, volume),
            ("revert_to_snapshot", volume, snapshot),
            ("delete_volume", volume),
            ("delete_snapshot", snapshot),
        ):
            _insist(storage, verb, arguments, chance.uniform(0, 0.3))
        storage.require_content(clone, FIRST)
        _insist(storage, "delete_volume", [clone], chance.uniform(0, 0.3))
        storage.require_objects()
    # an OSD may keep the watch of a client that died just as it asked for it, until it is started anew
    ceph.kill("osd")
    ceph.start("osd")
    ceph.wait_for_osd()
    _until_it_answers(storage)
    storage.restart()
    ceph.wait_for_images("volumes")


def _insist(storage: Storage, verb: str, arguments: Sequence[Any], seconds: float) -> None:
    """Call a verb until it succeeds, with the process killed so long after each of the first two beginnings."""
    for attempt in range(20):
        timer = threading.Timer(seconds, os.kill, (_child_of(storage), signal.SIGKILL)) if attempt < 2 else None
        if timer:
            timer.start()
        try:
            getattr(storage.driver, verb)(*arguments)
        except BackendTransient:
            continue
        except BreezeblockError as error:
            raise AssertionError(
                f"{verb}, killed {seconds:.3f} s after each of two beginnings, try {attempt}"
            ) from error
        else:
            return
        finally:
            if timer:
                timer.cancel()
                timer.join()
            _until_it_answers(storage)
    pytest.fail(f"{verb} did not end.")


def _until_it_answers(storage: Storage) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            list(storage.driver.list_objects())
            return
        except BreezeblockError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_connections_are_kept_in_the_pool(ceph: Ceph, make: Make) -> None:
    """Another process sees them, and one host is one connection whatever else it says of itself."""
    storage = make()
    volume = storage.volume()
    for connector in (CONNECTOR, {**CONNECTOR, "ip": "127.0.0.9"}, OTHER_CONNECTOR):
        storage.driver.initialize_connection(volume, connector)
    keys = ceph.run("rados", "-p", "volumes", "listomapkeys", "breezeblock.connections").split()
    assert len(keys) == 2
    storage.driver.terminate_connection(volume, CONNECTOR)
    storage.driver.terminate_connection(volume, OTHER_CONNECTOR)
    assert ceph.run("rados", "-p", "volumes", "listomapkeys", "breezeblock.connections") == ""
