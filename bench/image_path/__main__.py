"""`make bench-image`: what an image's way into a volume costs, beside Cinder's way and the least that is possible.

The floor is the larger of reading the image once and writing its data once. Everything is measured in turns, with the
result on stable storage; CPU and bytes written are of all processes of a way. Images are made once, by debootstrap.
"""

import argparse
import contextlib
import hashlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench import page
from bench.image_path import images, many, report, server
from bench.image_path.ways import Cost, Job

TITLE = "An image's way into a volume"
OURS = ("ours", "adopted")
BESIDE = ("cinder", "read_floor", "write_floor")
NETWORKS = {"unlimited": 0, "100 MB/s": 100_000_000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench-image", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", default=",".join(images.FORMATS))
    parser.add_argument("--filesystems", default="ext4,xfs")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--verified", default="no,yes", help="only on the first file system and the unlimited network")
    parser.add_argument("--directory", type=Path, default=Path.home() / ".cache" / "breezeblock" / "bench-image")
    parser.add_argument("--write", action="store_true", help="put the tables into BENCHMARKS.md")
    options = parser.parse_args(arguments)
    labels = options.formats.split(",")
    needed = list(dict.fromkeys([*labels, many.LABEL]))
    images.make(options.directory, needed)
    rows: list[report.Row] = []
    with _in_memory(options.directory, needed) as memory:
        for filesystem in options.filesystems.split(","):
            with _filesystem(filesystem) as place:
                for network, verified in itertools.product(options.networks.split(","), options.verified.split(",")):
                    if verified == "yes" and filesystem != options.filesystems.split(",")[0]:
                        continue  # what is hashed does not depend on it
                    chosen = _chosen(labels, filesystem, network, verified == "yes")
                    before = len(rows)
                    rows += _measure(memory, place, chosen, filesystem, network, verified == "yes", options.rounds)
                    print(report.table(rows[before:]), flush=True)
        figures = many.measure(memory, images.file_name(many.LABEL), options.rounds)
    print(many.table(figures))
    verdict = report.verdict(rows, many.missed(figures))
    text = report.section(rows, options.rounds) + "\n### Several volumes of one image\n\n" + many.table(figures)
    text += f"\n\n{verdict}\n"
    print(verdict)
    if options.write:
        page.write(TITLE, text)
    return 0


def _chosen(labels: list[str], filesystem: str, network: str, verified: bool) -> list[str]:
    """Over a limited network, where one round takes minutes, only what has a goal there."""
    if not NETWORKS[network]:
        return labels
    return [] if verified else [one for one in labels if one in report.GOALS.get((network, filesystem), {})]


def _measure(
    memory: Path, place: Path, labels: list[str], filesystem: str, network: str, verified: bool, rounds: int
) -> list[report.Row]:
    costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    hashing: dict[str, list[float]] = defaultdict(list)
    sent = {}
    with server.running(memory, NETWORKS[network]) as url:
        for number in range(rounds):
            for label in labels:
                digest = ""
                if verified:
                    digest, seconds = _hash(memory / images.file_name(label))
                    hashing[label].append(seconds)
                for way in _ways(label):
                    server.fetch(f"{url}/sent")
                    costs[label, way].append(_run(way, _job(memory, url, label, digest), place, compared=not number))
                    if way in OURS:
                        sent[label, way] = int(server.fetch(f"{url}/sent"))
    return [
        report.Row(
            format=label if way == "ours" else f"{label} {way}",
            filesystem=filesystem,
            network=network,
            verified=verified,
            size=(memory / images.file_name(label)).stat().st_size,
            sent=sent[label, way],
            data=(memory / "source").stat().st_blocks * 512,
            hash_seconds=statistics.median(hashing[label]) if verified else 0.0,
            costs={"ours": _median(costs[label, way])} | {other: _median(costs[label, other]) for other in BESIDE},
        )
        for label in labels
        for way in _ways(label)
        if way in OURS
    ]


def _ways(label: str) -> list[str]:
    """What is measured of an image; only qcow2 is adopted."""
    return ["ours", *(["adopted"] if label.startswith("qcow2") else []), *BESIDE]


def _median(costs: list[Cost]) -> Cost:
    names = Cost.__struct_fields__
    return Cost(**{name: statistics.median_low(getattr(cost, name) for cost in costs) for name in names})


def _job(memory: Path, url: str, label: str, digest: str) -> Job:
    path = memory / images.file_name(label)
    return Job(
        url=url,
        image=path.name,
        size=path.stat().st_size,
        disk_format=images.FORMATS[label][0],
        directory="",
        hash=digest,
    )


def _hash(path: Path) -> tuple[str, float]:
    """The sha512 of a file, and how many seconds that took."""
    began = time.perf_counter()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").hexdigest()
    return digest, time.perf_counter() - began


def _run(way: str, job: Job, place: Path, *, compared: bool) -> Cost:
    """What it cost; `compared` looks whether the volume has the disk's content."""
    with tempfile.TemporaryDirectory(dir=place) as directory:
        job = msgspec.structs.replace(job, directory=directory)
        if way == "write_floor":
            Path(directory, "source").symlink_to(Path(os.environ["BENCH_IMAGE_MEMORY"], "source"))
        os.sync()
        argv = [sys.executable, "-m", "bench.image_path.ways", way, msgspec.json.encode(job).decode()]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{way} of {job.image} failed:\n{done.stderr}")
        made = {"ours": "disk", "adopted": "adopted", "cinder": "volume"}.get(way)
        if made is not None and compared:
            file = next(path for path in Path(directory).rglob(made) if path.is_file())
            _compare(file, "qcow2" if way == "adopted" else "raw")
        return msgspec.json.decode(done.stdout, type=Cost)


def _compare(path: Path, format_: str) -> None:
    """The volume has the disk's content; one by ours is a GiB larger."""
    source = Path(os.environ["BENCH_IMAGE_MEMORY"], "source")
    subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", format_, source, path], check=True)


@contextlib.contextmanager
def _in_memory(directory: Path, labels: list[str]) -> Iterator[Path]:
    """The images where reading costs no disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        for name in ["source", *map(images.file_name, labels)]:
            subprocess.run(["cp", "--sparse=always", directory / name, memory], check=True)
        os.environ["BENCH_IMAGE_MEMORY"] = memory
        yield Path(memory)


@contextlib.contextmanager
def _filesystem(kind: str) -> Iterator[Path]:
    """A directory on such a filesystem: this machine's own where it is that, else one in a file (root only)."""
    with tempfile.TemporaryDirectory(prefix="breezeblock-bench-", dir=os.environ.get("BENCH_DIR")) as made:
        found = subprocess.run(["stat", "-f", "-c", "%T", made], check=True, capture_output=True, text=True).stdout
        if kind in found.replace("ext2/ext3", "ext4"):
            yield Path(made)
            return
        file, mount = Path(made, "filesystem"), Path(made, "mounted")
        mount.mkdir()
        with file.open("wb") as disk:
            disk.truncate(16 << 30)
        subprocess.run([shutil.which(f"mkfs.{kind}") or f"mkfs.{kind}", "-q", file], check=True)
        subprocess.run(["mount", "-o", "loop", file, mount], check=True)
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)


if __name__ == "__main__":
    sys.exit(main())
