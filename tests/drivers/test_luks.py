"""LUKS containers made here are what QEMU takes for right, whichever way they are filled and whoever's key they get."""

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breezeblock.drivers.contract import BlockTarget
from breezeblock.drivers.directory.content import RawTarget
from breezeblock.encryption import luks
from breezeblock.encryption.layer import encrypting
from breezeblock.errors import BackendOutOfSpace, DriverError

MIB = 1 << 20
SIZE = 64 * MIB
KEY, OTHER_KEY = "ab" * 32, "cd" * 32


def qemu_io(path: Path, passphrase: str, *orders: str) -> "subprocess.CompletedProcess[str]":
    """Run orders inside the container."""
    secret = path.with_suffix(".key")
    secret.write_text(passphrase)
    options = f"driver=luks,key-secret=key,file.driver=file,file.filename={path}"
    argv = ["qemu-io", "--object", f"secret,id=key,file={secret}", "--image-opts", options]
    argv += [part for order in orders for part in ("-c", order)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def inside(path: Path, passphrase: str) -> bytes:
    """All that is inside the container, as QEMU decrypts it."""
    secret, plain = path.with_suffix(".key"), path.with_suffix(".plain")
    secret.write_text(passphrase)
    options = f"driver=luks,key-secret=key,file.driver=file,file.filename={path}"
    argv = ["qemu-img", "convert", "-O", "raw", "--object", f"secret,id=key,file={secret}", "--image-opts", options]
    subprocess.run([*argv, plain], check=True)
    try:
        return plain.read_bytes()
    finally:
        plain.unlink()


def container(path: Path, key_bytes: int = 64) -> Path:
    path.write_bytes(luks.make(KEY, key_bytes))
    os.truncate(path, SIZE)
    return path


@pytest.mark.parametrize("key_bytes", [32, 64])
def test_qemu_opens_what_was_made(tmp_path: Path, key_bytes: int) -> None:
    path = container(tmp_path / "made", key_bytes)
    done = qemu_io(path, KEY, "write -P 7 0 64k", "read -P 7 0 64k", "length")
    assert "Pattern verification failed" not in done.stdout
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "62 MiB"


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    path = container(tmp_path / "made")
    assert "Invalid password" in qemu_io(path, OTHER_KEY, "read 0 512").stderr
    with pytest.raises(DriverError, match="does not open"):
        luks.unlock(path.read_bytes(), OTHER_KEY)


def test_a_copy_is_opened_by_its_own_key_alone(tmp_path: Path) -> None:
    path = container(tmp_path / "made")
    assert qemu_io(path, KEY, "write -P 7 5M 64k").returncode == 0
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    header = path.read_bytes()[: luks.HEADER_BYTES]
    with open(copy, "r+b") as file:
        file.write(luks.rekeyed(header, KEY, OTHER_KEY))
    assert "Invalid password" in qemu_io(copy, KEY, "read 0 512").stderr
    done = qemu_io(copy, OTHER_KEY, "read -P 7 5M 64k")
    assert done.returncode == 0, done
    assert "verification failed" not in done.stdout
    with pytest.raises(DriverError, match="does not open"):
        luks.rekeyed(header, OTHER_KEY, KEY)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda header: bytes(len(header)),
        lambda header: header[:1000],
        lambda header: header.replace(b"xts-plain64", b"cbc-plain64"),
        lambda header: header[:108] + b"\xff" * 4 + header[112:],  # key_bytes
        lambda header: header[:164] + b"\xff" * 4 + header[168:],  # iterations of the digest
        lambda header: header[:212] + b"\xff" * 4 + header[216:],  # iterations of the slot
        lambda header: header[:248] + b"\xff" * 4 + header[252:],  # where the slot's material lies
    ],
)
def test_a_spoilt_header_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    """Clients write what they like into their volumes; a clone of one is refused, at once."""
    with pytest.raises(DriverError):
        luks.unlock(spoil(luks.make(KEY, 64)), KEY)


def raw_target(path: Path) -> RawTarget:
    return RawTarget(path, SIZE, None, lambda note: None)


def fill(path: Path, writes: list[tuple[int, bytes]], end: int, target: Any = None) -> None:
    path.touch()
    os.truncate(path, SIZE)
    outside: BlockTarget = target or raw_target(path)
    with encrypting(outside, luks.make(KEY, 64), KEY) as target:
        assert target.size == SIZE - luks.HEADER_BYTES
        for offset, data in writes:
            target.pwrite(data, offset)
        target.finish(end)


def test_what_fills_a_volume_is_inside_it(tmp_path: Path) -> None:
    """Whatever the order and the alignment; what was not written is zeros up to the end, as it would be in plain."""
    chance = random.Random(5)
    marker = b"nothing of this may be seen outside"
    writes = [
        (20 * MIB, chance.randbytes(5 * MIB)),
        (0, marker * 20000),
        (3 * MIB + 100, chance.randbytes(2 * MIB + 7)),
        (5 * MIB + 107, chance.randbytes(1000)),
        (9 * MIB + 5, b"within one sector"),
        (40 * MIB - 3, b"end"),
    ]
    expected = bytearray(40 * MIB)
    for offset, data in writes:
        expected[offset : offset + len(data)] = data
    path = tmp_path / "volume"
    fill(path, writes, 40 * MIB)
    assert inside(path, KEY)[: 40 * MIB] == expected
    assert marker not in path.read_bytes()


def test_a_full_storage_is_told_as_such(tmp_path: Path) -> None:
    class Full(RawTarget):
        def pwrite(self, data: bytes | memoryview, offset: int) -> None:
            if offset > 10 * MIB:
                raise BackendOutOfSpace("The storage is full.")
            super().pwrite(data, offset)

    path = tmp_path / "volume"
    path.touch()
    with pytest.raises(BackendOutOfSpace, match="is full"):
        fill(path, [(at * MIB, bytes(MIB)) for at in range(40)], 40 * MIB, Full(path, SIZE, None, lambda note: None))


def test_what_the_fill_raises_is_raised(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.touch()
    os.truncate(path, SIZE)
    with pytest.raises(FileNotFoundError), encrypting(raw_target(path), luks.make(KEY, 64), KEY):
        (tmp_path / "missing").read_bytes()


def test_a_key_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.touch()
    os.truncate(path, SIZE)
    with (
        pytest.raises(DriverError, match="Invalid password"),
        encrypting(raw_target(path), luks.make(KEY, 64), OTHER_KEY),
    ):
        pass
