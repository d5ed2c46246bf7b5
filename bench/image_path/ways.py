"""The ways from an image service into a volume, each run as a process of its own that prints what it cost.

    python -m bench.image_path.ways WAY '{"url": …, "image": …, "disk_format": …, "directory": …, "hash": …}'

Wall and CPU are counted from the moment a service would stand ready. `written` are the bytes that the kernel counts as
this process's and its children's block output, `memory` the largest resident size of any of them.
"""

import contextlib
import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import requests

from breezeblock import config
from breezeblock.drivers.contract import AdoptedFile
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.drivers.registry import open_driver
from breezeblock.images.glance import GlanceCatalog
from breezeblock.images.transfer import PreparedImage, prepare
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume

_PIECE = 1 << 20
_GLANCE = {"auth_url": None, "endpoint_override": None, "cafile": None, "timeout": 60, "region_name": None}
_QEMU = {"vhd": "vpc"}

Way = Callable[[], None]


class Job(msgspec.Struct):
    """One image into `directory`. `hash` is its sha512, or empty where nothing is verified."""

    url: str
    image: str
    size: int
    disk_format: str
    directory: str
    hash: str = ""


class Cost(msgspec.Struct):
    """What it took: seconds of wall and of CPU, and bytes."""

    wall: float
    cpu: float
    written: int
    memory: int


def ours(job: Job) -> Way:
    """This project's rung 4 on the directory backend."""
    service = _service(job)

    def run() -> None:
        with _prepared(job, *service) as (driver, volume, prepared):
            driver.copy_image_to_volume(volume, "image", lambda target: prepared.fill(target, _untold))

    return run


def adopted(job: Job) -> Way:
    """The same, where the volume stands on the image's own file (`image_adopt`)."""
    service = _service(job)

    def run() -> None:
        with _prepared(job, *service) as (driver, volume, prepared):
            file = AdoptedFile(prepared.facts.virtual_size, prepared.facts.file_size)
            driver.adopt_image(volume, "image", file, lambda target: prepared.fetch(target, _untold))

    return run


def _untold(done: int, total: int | None) -> None:
    """Nobody is told of the progress."""


def _service(job: Job) -> tuple[DirectoryDriver, GlanceCatalog, Path]:
    """What a service has had since it was started: its driver, its image service, its directory for spools."""
    data = Path(job.directory, "data")
    config.prepare_data_dir(data)
    driver = open_driver(config.load(data).backends[0])
    assert isinstance(driver, DirectoryDriver)
    return driver, GlanceCatalog({**_GLANCE, "endpoint_override": job.url}), data / "spool"


@contextlib.contextmanager
def _prepared(
    job: Job, driver: DirectoryDriver, catalog: GlanceCatalog, spool: Path
) -> Iterator[tuple[DirectoryDriver, Volume, PreparedImage]]:
    volume = Volume(
        id="00000000-0000-4000-8000-00000000cafe", project_id="p", user_id="u", size=5, status="creating", created_at=""
    )
    image = Image(
        id=job.image,
        size=job.size,
        disk_format=job.disk_format,
        container_format="bare",
        os_hash_algo="sha512" if job.hash else None,
        os_hash_value=job.hash or None,
    )
    driver.create_volume(volume)
    with prepare(catalog, image, spool_dir=spool, volume_size=5, report=_untold) as prepared:
        yield driver, volume, prepared


def cinder(job: Job) -> None:
    """As Cinder does it: fetch into a temporary file, look at it, convert it; and put the result on stable storage."""
    temporary, target = Path(job.directory, "temporary"), Path(job.directory, "volume")
    digest = hashlib.sha512()
    with temporary.open("wb") as file:
        for piece in requests.get(_address(job), stream=True, timeout=60).iter_content(_PIECE):
            file.write(piece)
            if job.hash:
                digest.update(piece)
    if job.hash and digest.hexdigest() != job.hash:
        raise SystemExit("the image has another hash")
    name = _QEMU.get(job.disk_format, job.disk_format)
    for argv in (["info", "--output=json", "-f", name, f"{temporary}"], ["convert", "-O", "raw", "-f", name]):
        files = [] if argv[0] == "info" else [temporary, target]
        subprocess.run(["qemu-img", *argv, *files], check=True, stdout=subprocess.DEVNULL)
    _sync(target)
    temporary.unlink()


def read_floor(job: Job) -> None:
    """Read the image once, and hash it where it is to be verified."""
    digest = hashlib.sha512()
    for piece in requests.get(_address(job), stream=True, timeout=60).iter_content(_PIECE):
        if job.hash:
            digest.update(piece)


def write_floor(job: Job) -> None:
    """Write the disk's data once: from `source`, which is in memory, hole by hole."""
    source = os.open(Path(job.directory, "source"), os.O_RDONLY)
    target = os.open(Path(job.directory, "volume"), os.O_WRONLY | os.O_CREAT, 0o600)
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            position = os.lseek(source, position, os.SEEK_DATA)
        except OSError:
            break
        hole = os.lseek(source, position, os.SEEK_HOLE)
        while position < hole:
            position += os.pwrite(target, os.pread(source, min(_PIECE, hole - position), position), position)
    os.fdatasync(target)


WAYS: dict[str, Callable[[Job], Way]] = {
    "ours": ours,
    "adopted": adopted,
    "cinder": lambda job: lambda: cinder(job),
    "read_floor": lambda job: lambda: read_floor(job),
    "write_floor": lambda job: lambda: write_floor(job),
}
"""Each gets ready, and returns what is measured."""


def _address(job: Job) -> str:
    return f"{job.url}/v2/images/{job.image}/file"


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fdatasync(fd)
    os.close(fd)


def main() -> None:
    """Run one way, and print its cost."""
    job = msgspec.json.decode(sys.argv[2], type=Job)
    run = WAYS[sys.argv[1]](job)
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    began = time.perf_counter()
    run()
    wall = time.perf_counter() - began
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime for a, b in zip(after, before, strict=True))
    written = sum(a.ru_oublock - b.ru_oublock for a, b in zip(after, before, strict=True)) * 512
    memory = max(one.ru_maxrss for one in after) * 1024
    print(msgspec.json.encode(Cost(wall=wall, cpu=cpu, written=written, memory=memory)).decode())


if __name__ == "__main__":
    main()
