"""The images that are measured: one disk of a Debian system, in every format."""

import subprocess
import tempfile
from pathlib import Path

from scripts import vsa_image

GiB = 1 << 30
DISK_BYTES = 4 * GiB
LEAST_DATA = 400 << 20

FORMATS: dict[str, tuple[str, list[str]]] = {
    "raw": ("raw", ["-O", "raw"]),
    "qcow2": ("qcow2", ["-O", "qcow2"]),
    "qcow2 zlib": ("qcow2", ["-O", "qcow2", "-c", "-o", "compression_type=zlib"]),
    "qcow2 zstd": ("qcow2", ["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
    "vhd": ("vhd", ["-O", "vpc", "-o", "force_size=on"]),
    "vhdx": ("vhdx", ["-O", "vhdx"]),
    "vmdk": ("vmdk", ["-O", "vmdk", "-o", "subformat=streamOptimized"]),
}
"""Label -> (Glance's disk format, qemu-img's arguments)."""


def file_name(label: str) -> str:
    """The name, and the image's id, of a format."""
    return label.replace(" ", "-")


def make(directory: Path, labels: list[str]) -> None:
    """Fill `directory` with the disk `source` and its images; what is there already stays."""
    directory.mkdir(parents=True, exist_ok=True)
    source = directory / "source"
    if not source.exists():
        _make_disk(source)
    for label in labels:
        path = directory / file_name(label)
        if not path.exists():
            made = path.with_suffix(".tmp")
            subprocess.run(["qemu-img", "convert", "-f", "raw", *FORMATS[label][1], source, made], check=True)
            made.rename(path)


def _make_disk(source: Path) -> None:
    with tempfile.TemporaryDirectory(dir=source.parent) as made:
        tree, raw = Path(made, "tree"), Path(made, "raw")
        tree.mkdir()
        vsa_image.debian(tree)
        _fill_up(tree)
        with raw.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", tree, raw], check=True)
        raw.rename(source)
        subprocess.run(["rm", "-rf", tree], check=True)


def _fill_up(tree: Path) -> None:
    """A third of what is missing to 430 MiB is filler that does not pack, the rest text."""
    there = int(subprocess.run(["du", "-s", "-B1", tree], check=True, capture_output=True, text=True).stdout.split()[0])
    missing = max(0, LEAST_DATA + (30 << 20) - there)
    with Path("/dev/urandom").open("rb") as random, (tree / "filler").open("wb") as file:
        for _ in range(missing // (3 << 20)):
            file.write(random.read(1 << 20))
            file.write(bytes(range(32, 96)) * (2 << 14))
