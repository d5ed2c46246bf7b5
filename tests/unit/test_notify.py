"""What systemd is told, heard on a real datagram socket; and the units that say what systemd shall do."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from breezeblock.cli import notify
from tests.processes import Server, free_port

PROGRAM = Path(sys.executable).with_name("breezeblock")
UNITS = sorted((Path(__file__).parents[2] / "packaging" / "systemd").iterdir())
SECONDS = 60


@pytest.fixture(params=["path", "abstract"])
def ear(request, tmp_path):
    """A socket to hear on and the name that $NOTIFY_SOCKET has for it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@breezeblock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name.replace("@", "\0"))
        heard.settimeout(SECONDS)
        yield heard, name


def hear(heard, state):
    """Wait for a state; what came before it."""
    before = []
    while (told := heard.recv(4096).decode()) != state:
        before.append(told)
    return before


def test_a_state_is_told_and_the_variables_are_for_nobody_else(ear, monkeypatch):
    heard, name = ear
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = notify.from_environment()
    notifier.tell(notify.READY)
    assert heard.recv(100) == b"READY=1"
    assert notifier.interval == 1.5
    assert notifier.for_child == {"NOTIFY_SOCKET": name}
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(os.environ)


def test_the_watchdog_of_another_process_is_not_ours(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.from_environment().interval == 0


def test_without_systemd_nothing_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = notify.from_environment()
    notifier.tell(notify.READY)
    assert notifier.for_child == {}


@pytest.mark.parametrize("role", ["serve", "worker"])
def test_a_process_is_ready_then_alive_then_stopping(tmp_path, role):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(SECONDS)
        options = ["--listen", f"127.0.0.1:{free_port()}"] if role == "serve" else ["--upgrade"]
        argv = [PROGRAM, role, "--data-dir", tmp_path / "data", *options]
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with Server(argv, tmp_path / "log", env=told) as server:
            assert set(hear(heard, notify.READY)) <= {notify.ALIVE}
            hear(heard, notify.ALIVE)
            os.kill(server.pid, signal.SIGTERM)
            hear(heard, notify.STOPPING)
            assert server.wait() == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_systemd_understands_the_unit(unit, tmp_path):
    """With our program in the place of the installed one, which need not be there."""
    copy = tmp_path / unit.name.replace("@", "@one")
    copy.write_text(unit.read_text().replace("/usr/bin/breezeblock", str(PROGRAM)))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy]
    checked = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
