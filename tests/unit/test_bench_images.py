"""The ways that `make bench-image` measures do what they say, on a small image."""

import hashlib
import subprocess
import sys

import msgspec
import pytest

from bench.image_path import report
from bench.image_path.ways import Cost, Job
from tests.unit import image_files


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    source = image_files.disk(directory / "source")
    image_files.make(source, directory / "qcow2-zlib", "qcow2-zlib")
    argv = [sys.executable, "-m", "bench.image_path.server", str(directory), "50000000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield directory, f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.kill()


@pytest.mark.parametrize("way", ["ours", "adopted", "cinder", "read_floor", "write_floor"])
def test_a_way_makes_the_volume(served, tmp_path, way):
    directory, url = served
    path = directory / "qcow2-zlib"
    job = Job(
        url=url,
        image=path.name,
        size=path.stat().st_size,
        disk_format="qcow2",
        directory=str(tmp_path),
        hash=hashlib.sha512(path.read_bytes()).hexdigest(),
    )
    (tmp_path / "source").symlink_to(directory / "source")
    argv = [sys.executable, "-m", "bench.image_path.ways", way, msgspec.json.encode(job).decode()]
    cost = msgspec.json.decode(subprocess.run(argv, check=True, capture_output=True).stdout, type=Cost)
    assert cost.wall > 0
    assert cost.memory > 1 << 20
    if way == "adopted":
        (file,) = [path for path in tmp_path.rglob("adopted") if path.is_file()]
        subprocess.run(["qemu-img", "compare", "-F", "qcow2", "-f", "raw", directory / "source", file], check=True)
        return
    made = [path for path in tmp_path.rglob("*") if path.name in {"disk", "volume"} and path.is_file()]
    assert len(made) == (0 if way == "read_floor" else 1)
    for volume in made:
        source = (directory / "source").read_bytes()
        with volume.open("rb") as file:
            assert file.read(len(source)) == source


def test_a_row_says_what_was_missed():
    quick, slow = Cost(wall=1, cpu=1, written=100, memory=1 << 20), Cost(wall=2, cpu=1, written=100, memory=1)
    costs = {"ours": quick, "cinder": slow, "read_floor": quick, "write_floor": quick}
    one = report.Row("raw", "ext4", "unlimited", False, 100, 100, 100, 1.0, costs)
    assert "missed: speed" in report.table([one])
    one.filesystem = "xfs"
    assert "| 2.0 times | met |" in report.table([one])
    one.costs["ours"] = msgspec.structs.replace(quick, written=200, memory=1 << 30)
    assert "missed: written, memory" in report.table([one])
    assert "### xfs, network unlimited, not verified" in report.section([one], 3)


def test_a_verified_row_says_what_the_processors_allow(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    cost = Cost(wall=1.3, cpu=1.5, written=100, memory=1)
    costs = {"ours": cost, "cinder": cost, "read_floor": cost, "write_floor": cost}
    one = report.Row("vhd", "ext4", "unlimited", True, 100, 100, 100, 0.8, costs)
    alone = {"vhd": Cost(wall=1.0, cpu=1.2, written=100, memory=1)}
    assert "| 1.15 s (1.00) | missed: beside the hash |" in report.table([one], alone)
    one.costs["ours"] = msgspec.structs.replace(cost, wall=1.15)
    assert "| 1.15 s (1.00) | met |" in report.table([one], alone)
