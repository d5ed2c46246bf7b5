"""Programs run with a limit, without a secret, in a sandbox where the input is hostile, and never outlive their worker."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from breezeblock.commands import Limits, find, run
from breezeblock.errors import Cancelled, CommandFailed

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user and the network")
STATUS = ["cat", "/proc/self/status"]


def status(limits: Limits | None) -> dict[str, str]:
    """What the kernel says of a program that was run."""
    lines = run(STATUS, timeout=10, limits=limits).stdout.decode().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_output_and_input() -> None:
    done = run(["cat"], timeout=10, stdin=b"x" * 300_000)
    assert (done.stdout, done.stderr) == (b"x" * 300_000, b"")


def test_input_survives_a_slow_reader() -> None:
    """The program reads after several polls; everything that it is given arrives once."""
    calls: list[int] = []
    slow = "import sys, time; time.sleep(0.5); sys.stdout.write(str(len(sys.stdin.read())))"
    done = run([sys.executable, "-c", slow], timeout=20, stdin=b"x" * 300_000, while_running=lambda: calls.append(1))
    assert done.stdout == b"300000"
    assert calls


def test_an_error_is_told_with_what_was_printed() -> None:
    with pytest.raises(CommandFailed, match=r"ls failed \(2\).*/nowhere"):
        run(["ls", "/nowhere"], timeout=10)


def test_a_missing_program_is_told_with_its_package() -> None:
    with pytest.raises(CommandFailed, match=r"not installed.*nothing-utils"):
        find("nothing-like-this", "nothing-utils")


def test_a_program_that_takes_too_long_is_killed() -> None:
    with pytest.raises(CommandFailed, match="did not end within"):
        run(["sleep", "600"], timeout=0.1)


def test_a_program_may_be_stopped() -> None:
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run(["sleep", "600"], timeout=60, while_running=stop)


@as_root
def test_the_sandbox_has_no_rights() -> None:
    found = status(Limits())
    assert found["Uid"].split() == ["65534"] * 4
    assert found["Gid"].split() == ["65534"] * 4
    assert found["Groups"] == ""
    assert found["NoNewPrivs"] == "1"
    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    assert status(None)["Uid"].split() == ["0"] * 4


@as_root
def test_the_sandbox_has_no_network() -> None:
    routes = run(["cat", "/proc/self/net/dev"], timeout=10, limits=Limits()).stdout.decode()
    assert [line.split(":")[0].strip() for line in routes.splitlines()[2:]] == ["lo"]


def test_the_sandbox_has_limits() -> None:
    limits = Limits(address_space=1 << 28, cpu_seconds=7, open_files=33, file_size=0)
    found = run(["cat", "/proc/self/limits"], timeout=10, limits=limits).stdout.decode()
    for name, value in {
        "Max address space": 1 << 28,
        "Max cpu time": 7,
        "Max open files": 33,
        "Max file size": 0,
        "Max core file size": 0,
    }.items():
        line = next(line for line in found.splitlines() if line.startswith(name))
        assert line.removeprefix(name).split()[:2] == [str(value)] * 2


def test_death_by_a_limit_is_named() -> None:
    with pytest.raises(CommandFailed, match=r"SIGXCPU|SIGKILL"):
        run(["sh", "-c", "while :; do :; done"], timeout=60, limits=Limits(cpu_seconds=1))


def test_only_files_that_are_named_are_inherited(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as named, (tmp_path / "b").open("w") as other:
        os.set_inheritable(other.fileno(), True)
        found = run(["ls", "/proc/self/fd"], timeout=10, limits=Limits(), pass_fds=[named.fileno()]).stdout.split()
        assert str(named.fileno()).encode() in found
        assert str(other.fileno()).encode() not in found


@pytest.mark.parametrize("limits", ["None", "Limits()"])
def test_a_program_dies_with_its_worker(limits: str, tmp_path: Path) -> None:
    worker = (
        "from breezeblock.commands import Limits, run\n"
        f"run(['bash', '-c', 'echo $$ >&2; exec sleep 600'], timeout=600, limits={limits})"
    )
    # the program holds the other end of a pipe, which closes when it is gone
    reader, writer = os.pipe()
    code = worker.replace("timeout=600", f"timeout=600, pass_fds=[{writer}]").replace(">&2", f">&{writer}")
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[writer])
    os.close(writer)
    try:
        assert os.read(reader, 100)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert select.select([reader], [], [], 60)[0]
        assert os.read(reader, 100) == b""
    finally:
        process.kill()
        process.wait()
        os.close(reader)
