"""Exports by real daemons on real files, opened by real clients."""

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from breezeblock.errors import (
    BackendInUse,
    BackendNotFound,
    BackendTransient,
    ConfigError,
    DriverError,
    InvalidInput,
)
from breezeblock.exports import qmp
from breezeblock.exports.daemon import digest_of
from breezeblock.exports.disk import block_device
from breezeblock.exports.nbd import DiskFile, NbdExports
from breezeblock.exports.qmp import QmpClient
from tests.drivers.dying import answered
from tests.drivers.nbd_client import NbdClient
from tests.processes import files_of

MIB = 1 << 20
SIZE = 8 * MIB


@pytest.fixture
def exports(tmp_path: Path) -> Iterator[NbdExports]:
    exports = NbdExports(tmp_path / "run")
    yield exports
    exports.shutdown()
    # also those that the test cut off
    left = NbdExports(tmp_path / "run")
    left.adopt()
    left.shutdown()
    assert not list((tmp_path / "run").iterdir())


def raw(path: Path, size: int = SIZE) -> DiskFile:
    with path.open("xb") as file:
        file.truncate(size)
    return DiskFile(path, "raw")


def overlay(path: Path, backing: DiskFile, size: int = SIZE) -> DiskFile:
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing.path, "-F", backing.format, "-u", path, size)
    return DiskFile(path, "qcow2", backing)


def run(*argv: object) -> str:
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True, timeout=60).stdout


def content(disk: DiskFile) -> bytes:
    """What a file has, read by another process, which the file's locks allow or not."""
    out = disk.path.with_suffix(".copy")
    run("qemu-img", "convert", "-f", disk.format, "-O", "raw", disk.path, out)
    data = out.read_bytes()
    out.unlink()
    return data


def kill(pid: int) -> None:
    """Kill and wait for the end."""
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([pidfd], [], [], 30)[0]
    finally:
        os.close(pidfd)


def qmp_of(exports: NbdExports, tmp_path: Path) -> QmpClient:
    """A connection of the test's own to the only daemon."""
    (path,) = (tmp_path / "run").glob("*.qmp")
    return QmpClient(path)


def half_made(disk: DiskFile, node: str) -> dict[str, Any]:
    """What a worker had the daemon open just before it died."""
    return block_device(disk, node=node, backing=None, writable=True)


def test_clients_open_an_export(exports: NbdExports, tmp_path: Path) -> None:
    size = 5 * MIB + 512
    disk = raw(tmp_path / "disk", size)
    uri = exports.export("volume-1", disk)
    info = json.loads(run("nbdinfo", "--json", uri))["exports"][0]
    assert (info["export-name"], info["export-size"], info["is_read_only"]) == ("volume-1", size, False)
    assert info["can_flush"]
    assert info["can_trim"]
    run("qemu-io", "-f", "raw", "-c", "write -P 7 4096 8192", "-c", "flush", uri)
    assert disk.path.read_bytes() == bytes(4096) + b"\7" * 8192 + bytes(size - 12288)
    run("nbdcopy", uri, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == disk.path.read_bytes()
    assert json.loads(run("qemu-img", "info", "--output=json", "-f", "raw", uri))["virtual-size"] == size


def test_an_export_is_made_once(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    assert exports.uri("volume-1") is None
    uri = exports.export("volume-1", disk)
    assert exports.export("volume-1", disk) == uri == exports.uri("volume-1")
    assert exports.exported() == ["volume-1"]
    assert exports.active_path("volume-1") == disk.path
    exports.withdraw("volume-1")
    exports.withdraw("volume-1")
    assert exports.exported() == []
    assert exports.uri("volume-1") is None
    assert exports.active_path("volume-1") is None


def test_only_its_user_may_connect(exports: NbdExports, tmp_path: Path) -> None:
    exports.export("volume-1", raw(tmp_path / "disk"))
    run_dir = tmp_path / "run"
    assert run_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in run_dir.iterdir()} == {0}


def test_a_flush_reaches_the_disk_and_a_trim_frees_space(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    uri = exports.export("volume-1", overlay(tmp_path / "top", disk))
    with qmp_of(exports, tmp_path) as client:
        nodes = client.execute("query-named-block-nodes", flat=True)
    assert len(nodes) == 5
    assert all(node["cache"] == {"direct": False, "no-flush": False, "writeback": True} for node in nodes)
    exports.withdraw("volume-1")
    uri = exports.export("volume-2", disk)
    run("qemu-io", "-f", "raw", "-c", "write -P 7 0 8M", "-c", "flush", uri)
    full = disk.path.stat().st_blocks
    run("qemu-io", "-f", "raw", "-d", "unmap", "-c", "discard 0 8M", uri)
    assert disk.path.stat().st_blocks < full // 2


def test_nothing_is_inherited_and_nothing_ties_it_to_its_parent(exports: NbdExports, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        exports.export("volume-1", raw(tmp_path / "disk"))
        (pid,) = exports.pids()
        assert os.getsid(pid) == pid
        opened = files_of(pid)
        assert str(tmp_path / "lock") not in opened
        assert str(tmp_path / "disk") in opened


def test_a_header_is_not_believed(exports: NbdExports, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * SIZE)
    secret = DiskFile(tmp_path / "secret", "raw")
    base = raw(tmp_path / "base")
    base.path.write_bytes(b"b" * SIZE)
    hostile = overlay(tmp_path / "hostile", secret).path
    os.truncate(hostile, MIB)
    for backing, first in ((None, b"\0"), (base, b"b")):
        uri = exports.export("volume-1", DiskFile(hostile, "qcow2", backing))
        with NbdClient(uri) as client:
            assert client.read(4096, 0) == first * 4096
        exports.withdraw("volume-1")
    # what a guest wrote on a raw disk stays bytes, also when it looks like a qcow2
    uri = exports.export("volume-1", DiskFile(hostile, "raw"))
    with NbdClient(uri) as client:
        assert client.size == MIB
        assert client.read(4, 0) == b"QFI\xfb"


def test_exports_may_share_a_base_and_may_be_read_only(exports: NbdExports, tmp_path: Path) -> None:
    base = raw(tmp_path / "base")
    base.path.write_bytes(b"b" * SIZE)
    uris = [exports.export(f"volume-{number}", overlay(tmp_path / f"top-{number}", base)) for number in (1, 2)]
    uris.append(exports.export("snapshot-1", base, writable=False))
    assert len(exports.pids()) == 1
    with NbdClient(uris[0]) as one, NbdClient(uris[1]) as two, NbdClient(uris[2]) as three:
        one.write(b"1" * 512, 0)
        two.write(b"2" * 512, 0)
        with pytest.raises(OSError, match="refused"):
            three.write(b"3" * 512, 0)
        assert [client.read(1, 0) for client in (one, two, three)] == [b"1", b"2", b"b"]
        assert one.read(512, 512) == b"b" * 512


def test_a_file_is_exported_to_one_writer(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    exports.export("volume-1", disk)
    with pytest.raises(BackendInUse):
        exports.export("volume-2", disk)
    assert exports.exported() == ["volume-1"]
    with pytest.raises(BackendInUse):
        exports.export("volume-2", overlay(tmp_path / "top", disk))
    with pytest.raises(BackendInUse):
        exports.export("snapshot-1", disk, writable=False)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run("qemu-io", "-f", "raw", "-c", "write 0 512", disk.path)
    assert 'Failed to get "write" lock' in refused.value.stderr
    exports.withdraw("volume-1")
    exports.export("volume-2", DiskFile(tmp_path / "top", "qcow2", disk))
    with pytest.raises(BackendInUse):
        exports.export("volume-1", disk)


def test_what_cannot_be_opened_leaves_nothing(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    with pytest.raises(BackendNotFound):
        exports.export("volume-1", DiskFile(tmp_path / "missing", "raw"))
    for wrong in (
        DiskFile(disk.path, "qcow2"),
        DiskFile(disk.path, "raw", disk),
        DiskFile(Path("disk"), "raw"),
        DiskFile(disk.path, "vmdk"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DriverError):
            exports.export("volume-1", wrong)
    assert exports.pids() == []
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "../x", "a b", "a,id=b", "a/b", "a?socket=b", "1a", "é", "a\n", "a\0", 'a"', "a" * 128]
)
def test_names_that_mean_something_are_refused(exports: NbdExports, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        exports.export(name, raw(tmp_path / "disk"))
    assert exports.uri(name) is None
    exports.withdraw(name)


@pytest.mark.parametrize("name", ["a", "volume-1.x_Y-2", "a" * 127])
@pytest.mark.parametrize("place", ["a,b=c", "a b%41?&#", "ü:é", "'\"$(x)"])
def test_any_path_will_do(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / place).mkdir()
    exports = NbdExports(tmp_path / place / "r")
    try:
        disk = raw(tmp_path / place / "json:{x}")
        uri = exports.export(name, disk)
        assert json.loads(run("nbdinfo", "--json", uri))["exports"][0]["export-size"] == SIZE
        assert exports.active_path(name) == disk.path
    finally:
        exports.shutdown()


def test_too_long_a_run_directory_is_said_at_once(tmp_path: Path) -> None:
    room = 107 - len(f"/v{digest_of('')}") - len(str(tmp_path)) - 1
    with pytest.raises(ConfigError, match="shorter by 1 bytes"):
        NbdExports(tmp_path / ("x" * (room + 1)))
    exports = NbdExports(tmp_path / ("x" * room))
    try:
        run("nbdinfo", exports.export("volume-1", raw(tmp_path / "disk")))
    finally:
        exports.shutdown()


def test_a_few_exports_share_a_daemon(exports: NbdExports, tmp_path: Path) -> None:
    names = [f"volume-{number}" for number in range(10)]
    disks = {name: raw(tmp_path / name) for name in names}
    with ThreadPoolExecutor(10) as pool:
        uris = list(pool.map(lambda name: exports.export(name, disks[name]), names))
    assert len(set(uris)) == 10
    assert exports.exported() == sorted(names)
    assert len(exports.pids()) == 3
    for uri in uris:
        run("nbdinfo", uri)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(exports.withdraw, names))
    assert exports.exported() == []
    assert exports.pids() == []
    assert list((tmp_path / "run").iterdir()) == []


def test_a_connected_client_is_not_cut_unless_told(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    uri = exports.export("volume-1", disk)
    client = NbdClient(uri)
    with pytest.raises(BackendInUse):
        exports.withdraw("volume-1")
    client.write(b"x" * 512, 0)
    exports.withdraw("volume-1", force=True)
    with pytest.raises(ConnectionError):
        client.write(b"y" * 512, 0)
    client.close()
    assert disk.path.read_bytes()[:513] == b"x" * 512 + b"\0"
    assert exports.exported() == []


def test_an_extended_disk_is_found_at_the_same_uri(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    others = [exports.export(f"other-{number}", raw(tmp_path / f"other-{number}")) for number in range(4)]
    uri = exports.export("volume-1", disk)
    exports.withdraw("volume-1")
    os.truncate(disk.path, 2 * SIZE)
    exports.withdraw("other-0")
    assert exports.export("volume-1", disk) == uri
    with NbdClient(uri) as client, NbdClient(others[1]) as other:
        assert (client.size, other.size) == (2 * SIZE, SIZE)


def test_live_snapshots_freeze_what_was_written_before(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk-0")
    chain = [disk]
    uri = exports.export("volume-1", disk)
    written: list[int] = []
    stop = threading.Event()
    frozen: list[tuple[DiskFile, int, str]] = []

    def keep_writing() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            client.write(number.to_bytes(512, "big"), number % (SIZE // 512) * 512)
            client.flush()
            written.append(number)

    with NbdClient(uri) as client, ThreadPoolExecutor(1) as pool:
        writer = pool.submit(keep_writing)
        try:
            for number in range(1, 7):
                chain.append(overlay(tmp_path / f"disk-{number}", chain[-1]))
                while len(written) < 10 * number and not writer.done():
                    os.sched_yield()
                before = len(written)
                exports.snapshot("volume-1", chain[-1])
                exports.snapshot("volume-1", chain[-1])
                assert exports.active_path("volume-1") == chain[-1].path
                frozen.append((chain[-2], before, hashlib.sha256(content(chain[-2])).hexdigest()))
        finally:
            stop.set()
        writer.result()
        for state, acknowledged, digest in frozen:
            data = content(state)
            assert hashlib.sha256(data).hexdigest() == digest
            for number in written[:acknowledged]:
                assert data[number * 512 : number * 512 + 512] == number.to_bytes(512, "big")
        with pytest.raises(BackendInUse):
            exports.snapshot("volume-1", chain[2])
        # a frozen file is a base for others, and for nobody to write to
        for number, state in enumerate(chain[:-1]):
            clone = overlay(tmp_path / f"clone-{number}", state)
            with NbdClient(exports.export(f"clone-{number}", clone)) as other:
                assert hashlib.sha256(other.read(SIZE, 0)).hexdigest() == frozen[number][2]
            with pytest.raises(BackendInUse):
                exports.export("volume-2", state)
        last = client.read(SIZE, 0)
    exports.withdraw("volume-1")
    assert content(chain[-1]) == last
    for number in written:
        assert last[number * 512 : number * 512 + 512] == number.to_bytes(512, "big")
    for state in chain[1:]:
        run("qemu-img", "check", "-q", "-f", "qcow2", state.path)
    # the whole chain opens again as we say it is
    with NbdClient(exports.export("volume-1", chain[-1])) as client:
        assert client.read(SIZE, 0) == last


def test_a_refused_snapshot_changes_nothing(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    with pytest.raises(BackendNotFound):
        exports.snapshot("volume-1", overlay(tmp_path / "early", disk))
    with NbdClient(exports.export("volume-1", disk)) as client:
        small = overlay(tmp_path / "small", disk, SIZE // 2)
        with pytest.raises(DriverError, match="bytes"):
            exports.snapshot("volume-1", small)
        with pytest.raises(BackendNotFound):
            exports.snapshot("volume-1", DiskFile(tmp_path / "missing", "qcow2", disk))
        client.write(b"x", 0)
        assert exports.active_path("volume-1") == disk.path
        run("qemu-img", "check", "-q", "-f", "qcow2", small.path)  # no lock is left on it
    assert disk.path.read_bytes()[:1] == b"x"


WORKER = """
import sys
from pathlib import Path
from breezeblock.exports.nbd import DiskFile, NbdExports
exports = NbdExports(Path(sys.argv[1]))
for disk in sys.argv[2:]:
    print(exports.export(Path(disk).name, DiskFile(Path(disk), "raw")), flush=True)
sys.stdin.read()
"""


def test_daemons_outlive_their_worker_and_are_adopted(exports: NbdExports, tmp_path: Path) -> None:
    disks = [raw(tmp_path / f"volume-{number}") for number in range(5)]
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "run"), *(str(disk.path) for disk in disks)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        uris = [worker.stdout.readline().strip() for _ in disks]
        client = NbdClient(uris[0])
        client.write(b"before", 0)
        worker.kill()
    client.write(b"between", 512)
    exports.adopt()
    exports.adopt()
    assert len(exports.pids()) == 2
    assert exports.exported() == [disk.path.name for disk in disks]
    assert [exports.uri(disk.path.name) for disk in disks] == uris
    assert exports.export("volume-0", disks[0]) == uris[0]
    top = overlay(tmp_path / "top", disks[0])
    exports.snapshot("volume-0", top)
    client.write(b"after", 1024)
    assert (client.read(6, 0), client.read(7, 512), client.read(5, 1024)) == (b"before", b"between", b"after")
    client.close()
    exports.withdraw("volume-0")
    assert disks[0].path.read_bytes()[1024] == 0
    assert content(top)[1024:1029] == b"after"
    # the fifth was alone on its daemon; the place that is free is taken before a new one is started
    exports.export("volume-0", top)
    assert len(exports.pids()) == 2


def test_what_a_dead_worker_left_half_done_is_removed(exports: NbdExports, tmp_path: Path) -> None:
    disk, other = raw(tmp_path / "disk"), raw(tmp_path / "other")
    top = overlay(tmp_path / "top", disk)
    uri = exports.export("volume-1", disk)
    client = NbdClient(uri)
    with qmp_of(exports, tmp_path) as daemon:
        half = half_made(top, f"n{digest_of('volume-1')}-1")
        daemon.execute("blockdev-add", **half)
        lone = half_made(other, f"n{digest_of('volume-2')}-0")
        daemon.execute("blockdev-add", **lone)
    (tmp_path / "run" / "vdead").symlink_to("gone.nbd")
    exports.close()
    successor = NbdExports(tmp_path / "run")
    successor.adopt()
    assert successor.exported() == ["volume-1"]
    assert not (tmp_path / "run" / "vdead").is_symlink()
    with qmp_of(successor, tmp_path) as daemon:
        assert len(daemon.execute("query-named-block-nodes", flat=True)) == 3
    successor.snapshot("volume-1", top)
    client.write(b"x", 0)
    client.close()
    successor.withdraw("volume-1")
    assert successor.pids() == []


def test_a_snapshot_broken_off_is_taken_again(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    top = overlay(tmp_path / "top", disk)
    exports.export("volume-1", disk)
    with qmp_of(exports, tmp_path) as daemon:
        half = half_made(top, f"n{digest_of('volume-1')}-1")
        daemon.execute("blockdev-add", **half)
    exports.snapshot("volume-1", top)
    assert exports.active_path("volume-1") == top.path


def test_a_dead_daemon_is_replaced(exports: NbdExports, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk, other = raw(tmp_path / "disk"), raw(tmp_path / "other")
    uri = exports.export("volume-1", disk)
    exports.export("volume-2", other)
    client = NbdClient(uri)
    client.write(b"kept", 0)
    client.flush()
    kill(exports.pids()[0])
    with pytest.raises(ConnectionError):
        client.read(1, 0)
    client.close()
    assert exports.export("volume-1", disk) == uri
    assert "Exports cut: volume-1, volume-2" in caplog.text
    assert exports.exported() == ["volume-1"]
    with NbdClient(uri) as client:
        assert client.read(4, 0) == b"kept"
    exports.withdraw("volume-2")
    exports.export("volume-2", other)
    assert exports.exported() == ["volume-1", "volume-2"]
    assert len(exports.pids()) == 1


def test_a_daemon_that_died_alone_is_forgotten_at_the_start(exports: NbdExports, tmp_path: Path) -> None:
    exports.export("volume-1", raw(tmp_path / "disk"))
    (pid,) = exports.pids()
    exports.close()
    kill(pid)
    successor = NbdExports(tmp_path / "run")
    successor.adopt()
    assert successor.exported() == []
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("verb", ["exported", "uri", "active_path", "withdraw"])
def test_exports_of_a_dead_daemon_are_gone(exports: NbdExports, tmp_path: Path, verb: str) -> None:
    exports.export("volume-1", raw(tmp_path / "disk"))
    kill(exports.pids()[0])
    assert not (exports.exported() if verb == "exported" else getattr(exports, verb)("volume-1"))
    assert exports.pids() == []


def test_a_daemon_that_hangs_is_a_passing_error(
    exports: NbdExports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = raw(tmp_path / "disk")
    uri = exports.export("volume-1", disk)
    (pid,) = exports.pids()
    monkeypatch.setattr(qmp, "GREETING_SECONDS", 0.2)
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    try:
        with pytest.raises(BackendTransient, match="did not answer"):
            exports.export("volume-1", disk)
        successor = NbdExports(tmp_path / "run")
        successor.adopt()
        assert successor.exported() == []
        for verb in (successor.withdraw, successor.uri, successor.active_path):
            with pytest.raises(BackendTransient):
                verb("volume-1")
        with pytest.raises(BackendTransient):
            successor.export("volume-1", disk)
        monkeypatch.undo()
        with pytest.raises(BackendInUse):
            successor.export("volume-2", disk)
    finally:
        os.kill(pid, signal.SIGCONT)
    exports.close()
    assert answered(lambda: successor.uri("volume-1")) == uri
    assert successor.exported() == ["volume-1"]
    run("nbdinfo", uri)
    successor.shutdown()


def test_a_daemon_that_hangs_is_not_waited_for_by_everybody(
    exports: NbdExports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one who waited, others are told at once; when it answers again it is asked as ever."""
    uri = exports.export("volume-1", raw(tmp_path / "disk"))
    (pid,) = exports.pids()
    connections: list[QmpClient] = []
    connect = QmpClient._connect

    def counted(client: QmpClient) -> None:
        connections.append(client)
        connect(client)

    monkeypatch.setattr(QmpClient, "_connect", counted)
    monkeypatch.setattr(qmp, "GREETING_SECONDS", 0.2)
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    try:
        for _ in range(5):
            with pytest.raises(BackendTransient):
                exports.uri("volume-1")
        assert len(connections) == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.setattr(qmp, "GREETING_SECONDS", 10)
    assert answered(lambda: exports.uri("volume-1")) == uri
    assert exports.uri("volume-1") == uri


def test_only_the_answer_to_a_question_is_taken(tmp_path: Path) -> None:
    """Under load a daemon once sent something that was neither answer nor event: a second greeting, it seems."""

    def serve() -> None:
        peer, _ = listener.accept()
        with peer, peer.makefile("rw") as lines:
            answers: list[object] = [{}, ["right"]]
            for returned in answers:
                print('{"QMP": {}}\n{"return": "wrong", "id": "old"}\n{"return": "wrong"}', file=lines, flush=True)
                question = json.loads(lines.readline())
                print('{"QMP": {}}\n{"event": "X", "data": {"id": "a", "b": 1}}', file=lines)
                print(json.dumps({"return": returned, "id": question["id"]}), file=lines, flush=True)

    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()
        served = pool.submit(serve)
        with QmpClient(tmp_path / "qmp") as client:
            assert client.execute("query-x") == ["right"]
            client.wait_for("X", id="a")
        served.result()


def test_closing_leaves_clients_and_shutdown_does_not(exports: NbdExports, tmp_path: Path) -> None:
    disk = raw(tmp_path / "disk")
    with NbdClient(exports.export("volume-1", disk)) as client:
        exports.close()
        assert exports.exported() == []
        client.write(b"x", 0)
        exports.adopt()
        client.write(b"y", 1)
        exports.shutdown()
        with pytest.raises(ConnectionError):
            client.write(b"z", 2)
    assert disk.path.read_bytes()[:3] == b"xy\0"
