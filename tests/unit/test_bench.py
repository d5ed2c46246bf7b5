"""The measuring client: processes are counted whole, and the table says truly which goals are met."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import cluster_report, page, report
from bench.client import Client, Endpoint
from bench.command import peer_from
from bench.crowd import CLIENTS, at_once
from bench.gauges import count_syncs, durable_writes
from bench.processes import ServerProcesses, root_pids
from bench.rounds import Results
from bench.scenarios import Sample

CHILD = "x = 0\nwhile x < 3_000_000: x += 1\nprint('ready', flush=True)\ninput()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_children_count_with_their_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        usage = ServerProcesses([parent.pid]).usage()
        assert usage.processes == 2
        assert usage.cpu_seconds > 0
        assert usage.memory_bytes > 1 << 20
        one = ServerProcesses([os.getpid()], without=[parent.pid]).usage().memory_bytes
        assert one < ServerProcesses([os.getpid()]).usage().memory_bytes < one + usage.memory_bytes  # shared: once
        others = ServerProcesses([os.getpid()], without=[parent.pid]).pids()
        assert os.getpid() in others
        assert others.isdisjoint(ServerProcesses([parent.pid]).pids())
        parent.communicate(b"\n")


def test_a_daemon_is_found_by_its_command_line():
    mark = f"breezeblock-mark-{os.getpid()}"
    argv = [sys.executable, "-c", "print('ready', flush=True)\ninput()", mark]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"ready\n"
        assert ServerProcesses(matching=mark).usage().processes == 1
        daemon.communicate(b"\n")
    assert ServerProcesses(matching=mark).usage().processes == 0


def test_process_ids_come_from_numbers_and_files(tmp_path):
    (tmp_path / "api.pid").write_text("17\n")
    assert root_pids(["12", str(tmp_path / "api.pid")]) == [12, 17]


def test_strace_counts_what_waits_for_the_disk(tmp_path):
    """Of a program that writes to a database file and to another one, and is watched while it runs."""
    (tmp_path / "db").touch()
    code = """if True:
        import os
        print('ready', flush=True)
        input()
        db, other = os.open('db', os.O_RDWR), os.open('.', os.O_RDONLY)
        for file in (db, db, other):
            os.fsync(file)
        print('done', flush=True)
        input()
    """
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == b"ready\n"
        watched = ServerProcesses([program.pid])
        with durable_writes(watched, str(tmp_path / "db"), tmp_path / "log") as gauge:
            program.stdin.write(b"\n")
            program.stdin.flush()
            assert program.stdout.readline() == b"done\n"
            assert gauge() == {"database syncs": 2.0, "storage syncs": 1.0}
        program.communicate(b"\n")


def test_a_call_that_another_thread_interrupts_is_counted_once():
    log = "7 fsync(3</s/volume> <unfinished ...>\n8 fdatasync(4</pg/wal>) = 0\n7 <... fsync resumed>) = 0\n"
    assert count_syncs(log, "/pg/") == {"database syncs": 1.0, "storage syncs": 1.0}


def test_a_section_of_the_page_replaces_itself_alone(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("# Title\n\n## One\n\nold\n\n## Two\n\nkept\n")
    page.write("One", "new", file)
    page.write("Three", "more\n", file)
    assert file.read_text() == "# Title\n\n## One\n\nnew\n\n## Two\n\nkept\n\n## Three\n\nmore\n"


@pytest.mark.parametrize(("seconds", "verdict"), [([0.5, 2.0], "met"), ([0.5, 2.1], "**missed**")])
def test_a_takeover_is_judged_by_the_longest(seconds, verdict):
    assert cluster_report.takeover_text(seconds).endswith(f"goal at most 2: {verdict}.")


def results(ours: dict[str, Sample], theirs: dict[str, Sample]) -> Results:
    figures = {"ours": {name: [s] for name, s in ours.items()}, "theirs": {name: [s] for name, s in theirs.items()}}
    return Results(machine="a machine", rounds=1, figures=figures)


def row(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_median_is_of_the_rounds():
    figures = {"ours": {"raw": [Sample(wall_ms=ms) for ms in (9.0, 1.0, 2.0)]}}
    found = Results(machine="", rounds=3, figures=figures).median("ours", "raw")
    assert found == Sample(wall_ms=2.0)


@pytest.mark.parametrize(("ours", "verdict"), [(40.0, "met"), (41.0, "**missed**")])
def test_a_goal_relative_to_the_peer(ours, verdict):
    table = report.table(results({"raw": Sample(wall_ms=ours)}, {"raw": Sample(wall_ms=400.0)}), "ours", "theirs")
    assert row(table, report.LABELS["raw"])[-2:] == ["1/10 of its time", verdict]


def test_a_listing_is_judged_by_its_processor_time():
    ours, theirs = Sample(wall_ms=900.0, cpu_ms=40.0), Sample(wall_ms=1000.0, cpu_ms=520.0)
    cells = row(report.table(results({"list": ours}, {"list": theirs}), "ours", "theirs"), report.LABELS["list"])
    assert cells[5:] == ["1.1", "13.0", "1/12 of its CPU", "met"]


def test_without_a_peer_only_absolute_goals_are_judged():
    ours = {
        "batch": Sample(wall_ms=1501.0),
        "raw": Sample(wall_ms=1.0),
        "idle": Sample(memory_mib=181.0, idle_percent=1.0),
    }
    table = report.table(results(ours, {}), "ours", None)
    assert row(table, report.LABELS["batch"])[-1] == "**missed**"
    assert row(table, report.LABELS["raw"])[-1] == ""
    assert "181 MiB, goal at most 180: **missed**" in table


def test_the_peer_comes_from_the_environment(tmp_path):
    assert peer_from({"PATH": "/bin"}, tmp_path, 10) is None
    peer = peer_from({"BENCH_PEER_ENDPOINT": "http://there/v3", "BENCH_PEER_PIDS": "1 2"}, tmp_path, 10)
    assert peer is not None
    assert (peer.endpoint, peer.pids, peer.name) == ("http://there/v3", ["1", "2"], "Cinder")
    with pytest.raises(SystemExit, match="BENCH_PEER_ENPOINT"):
        peer_from({"BENCH_PEER_ENPOINT": "http://there/v3"}, tmp_path, 10)


def test_many_clients_at_once_are_told_with_their_slowest_and_the_rate():
    ours = {"crowd_show": Sample(wall_ms=10.0, p99_ms=20.0, per_second=600.0, cpu_ms=1.5)}
    theirs = {"crowd_show": Sample(wall_ms=400.0, p99_ms=900.0, per_second=60.0)}
    label = report.CROWD_LABELS["crowd_show"]
    table = report.table(results(ours, theirs), "ours", "theirs")
    assert row(table, label)[1:] == ["10.0", "20.0", "600", "1.5", "400", "900", "60.0", "", "45.0", "10.0"]
    assert row(report.table(results(ours, {}), "ours", None), label)[1:] == ["10.0", "20.0", "600", "1.5"]
    assert label not in report.table(results({}, theirs), "ours", None)


class Answers(BaseHTTPRequestHandler):
    """Answers 500 to what is broken."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def served() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_call_of_a_crowd_that_fails_fails_it(served):
    """None is tried again."""
    took = at_once(Client(Endpoint(volumes=served)), 2, lambda client: client.get_bytes("/fine"))
    assert len(took.walls) == 2 * CLIENTS
    assert 0 < max(took.walls) <= took.seconds
    with pytest.raises(ExceptionGroup) as failed:
        at_once(Client(Endpoint(volumes=served)), 1, lambda client: client.get_bytes("/broken"))
    assert len(failed.value.exceptions) == CLIENTS
