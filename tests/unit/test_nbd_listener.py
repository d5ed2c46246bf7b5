"""The NBD server that storages read images from while they are on their way: real clients at a real socket."""

import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.images import nbd_listener
from breezeblock.images.nbd_listener import LARGEST, NbdListener
from tests.drivers.nbd_client import NbdClient

CONTENT = random.Random(1).randbytes(3 << 20)


class Content:
    writable = False
    size = len(CONTENT)

    def __init__(self) -> None:
        self.waits: dict[int, threading.Event] = {}
        self.ends: dict[int, threading.Event] = {}

    def pread(self, length: int, offset: int) -> bytes:
        if offset in self.ends:
            self.ends[offset].set()
        if offset in self.waits:
            assert self.waits[offset].wait(10)
        if offset == 666 * 512:
            raise RuntimeError("broken")
        return CONTENT[offset : offset + length]

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        raise AssertionError

    def close(self) -> None:
        for event in self.waits.values():
            event.set()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[NbdListener]:
    listener = NbdListener(tmp_path / "run" / "source.sock")
    listener.start()
    yield listener
    listener.close()


def uri(listener: NbdListener, name: str) -> str:
    return f"nbd+unix:///{name}?socket={listener.path}"


def test_qemu_copies_an_export(listener: NbdListener, tmp_path: Path) -> None:
    listener.publish("image", Content())
    subprocess.run(["qemu-img", "convert", "-n", uri(listener, "image"), "null-co://"], check=True)
    copy = tmp_path / "copy"
    subprocess.run(["qemu-img", "convert", "-O", "raw", uri(listener, "image"), copy], check=True)
    assert copy.read_bytes() == CONTENT


def test_a_request_that_waits_holds_up_no_other(listener: NbdListener) -> None:
    content = Content()
    content.waits[512], content.ends[8192] = (threading.Event(),) * 2
    listener.publish("image", content)
    orders = ["-c", "aio_read 512 512", "-c", "aio_read 8192 512", "-c", "aio_flush"]
    done = subprocess.run(
        ["qemu-io", "-r", "-f", "raw", *orders, uri(listener, "image")], capture_output=True, timeout=60, check=True
    )
    assert b"failed: Input/output error" not in done.stdout + done.stderr
    assert content.waits[512].is_set()


def test_a_read_that_fails_is_an_error_of_that_read_alone(listener: NbdListener) -> None:
    listener.publish("image", Content())
    with NbdClient(uri(listener, "image")) as client:
        with pytest.raises(OSError, match="refused"):
            client.read(512, 666 * 512)
        with pytest.raises(OSError, match="refused"):
            client.write(b"x" * 512, 0)
        with pytest.raises(OSError, match="refused"):
            client.read(512, Content.size)
        assert client.read(512, 0) == CONTENT[:512]
        with pytest.raises(ConnectionError):
            client.read(LARGEST + 1, 0)


def test_clients_wait_a_while_for_an_export_that_is_not_there(
    listener: NbdListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    threading.Timer(0.2, listener.publish, ("late", Content())).start()
    with NbdClient(uri(listener, "late")) as client:
        assert client.read(4, 0) == CONTENT[:4]
    monkeypatch.setattr(nbd_listener, "PUBLISH_SECONDS", 0.1)
    with pytest.raises(ConnectionRefusedError):
        NbdClient(uri(listener, "never"))
    listener.withdraw("late")
    listener.withdraw("late")
    with pytest.raises(ConnectionRefusedError):
        NbdClient(uri(listener, "late"))


def test_the_next_process_takes_the_place_of_a_dead_one(listener: NbdListener) -> None:
    second = NbdListener(listener.path)
    second.publish("image", Content())
    second.start()
    with NbdClient(uri(second, "image")) as client:
        assert client.read(4, 0) == CONTENT[:4]
    second.close()
    with pytest.raises(ConnectionRefusedError):
        NbdClient(uri(second, "image"))


def test_closing_ends_all_connections(listener: NbdListener) -> None:
    listener.publish("image", Content())
    with NbdClient(uri(listener, "image")) as one, NbdClient(uri(listener, "image")) as two:
        assert one.read(4, 0) == two.read(4, 0)
        listener.close()
        for client in (one, two):
            with pytest.raises(ConnectionError):
                client.read(4, 0)
