"""What tests look at encrypted volumes with: QEMU, from outside."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from breezeblock.drivers.contract import BlockSource

MIB = 1 << 20


def dump(source: BlockSource, path: Path) -> Path:
    """A volume's bytes as they lie on the storage, in a sparse file."""
    with open(path, "wb") as file:
        file.truncate(source.size)
        for extent in source.extents():
            for offset in range(extent.offset, extent.offset + extent.length, MIB) if extent.data else ():
                length = min(MIB, extent.offset + extent.length - offset)
                os.pwrite(file.fileno(), source.pread(length, offset), offset)
    return path


def inside(container: Path, passphrase: str, mebibytes: int) -> bytes:
    """The first so many MiB inside a LUKS container, as QEMU decrypts them. Raises where the passphrase is wrong."""
    secret, plain = container.with_suffix(".secret"), container.with_suffix(".plain")
    secret.write_text(passphrase)
    options = f"driver=luks,key-secret=key,file.driver=file,file.filename={container}"
    argv = ["qemu-img", "dd", "--object", f"secret,id=key,file={secret}", "--image-opts", "-O", "raw", "bs=1M"]
    try:
        subprocess.run([*argv, f"count={mebibytes}", f"if={options}", f"of={plain}"], check=True, capture_output=True)
        return plain.read_bytes()
    finally:
        secret.unlink()
        plain.unlink(missing_ok=True)


def io(container: Path, passphrase: str, *orders: str) -> "subprocess.CompletedProcess[str]":
    """What qemu-io answers to orders inside a LUKS container."""
    secret = container.with_suffix(".secret")
    secret.write_text(passphrase)
    options = f"driver=luks,key-secret=key,file.driver=file,file.filename={container}"
    argv = ["qemu-io", "--object", f"secret,id=key,file={secret}", "--image-opts", options]
    argv += [part for order in orders for part in ("-c", order)]
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False)
    finally:
        secret.unlink()


def files_with(marker: bytes, below: Path) -> Iterator[Path]:
    """The files that hold some bytes anywhere."""
    for path in sorted(below.rglob("*")):
        if path.is_file() and not path.is_symlink() and _holds(path, marker):
            yield path


def _holds(path: Path, marker: bytes) -> bool:
    with open(path, "rb") as file:
        end, at = os.fstat(file.fileno()).st_size, 0
        before = b""
        while at < end:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return False
            before = before if data == at else b""
            piece = os.pread(file.fileno(), MIB, data)
            if marker in before + piece:
                return True
            before, at = piece[-len(marker) :], data + len(piece)
    return False
