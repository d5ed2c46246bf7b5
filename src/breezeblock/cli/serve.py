"""`breezeblock serve`: everything on this machine, by one small supervisor.

It imports next to nothing and runs no thread, so that starting a child never copies anything that could be locked.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from breezeblock import commands
from breezeblock.cli import notify, options
from breezeblock.errors import ConfigError
from breezeblock.lockfile import EXIT_LOST_SLOT, LockFile

SHUTDOWN_SECONDS = 10.0
ORPHANS_SECONDS = 15.0
"""What a supervisor that was killed leaves behind ends by itself within this time."""

HEALTHY_SECONDS = 5.0
"""A child that fails sooner than this after its start will fail again: everything ends with its message."""


@click.command()
@options.data_dir
@options.config_file
@options.listen
@options.telling_errors
def command(data_dir: Path, config_files: tuple[Path, ...], listen: str | None) -> None:
    """Run everything on this machine: API and worker. All state is below the data directory."""
    run_dir = data_dir.absolute() / "run"
    with contextlib.suppress(FileExistsError):
        data_dir.mkdir(parents=True, mode=0o700)
    run_dir.mkdir(exist_ok=True, mode=0o700)
    notifier = notify.from_environment()
    lock = LockFile(run_dir / "serve.lock")
    lock.take()
    children = LockFile(run_dir / "children.lock", inherited=True)
    children.take_within(ORPHANS_SECONDS, _tell_of_orphans)
    shared = ["--data-dir", str(data_dir.absolute())]
    shared += [part for file in config_files for part in ("--config-file", str(file.absolute()))]
    own = [sys.executable, "-m", "breezeblock"]
    (run_dir / "serve.json").write_text(json.dumps({"pid": os.getpid(), "listen": listen}))
    Supervisor(
        {
            "worker": [*own, "worker", "--upgrade", *shared],
            "api": [*own, "api", *shared, *(["--listen", listen] if listen else [])],
        },
        notifier,
        children,
    ).run()


def _tell_of_orphans(held: str) -> None:
    click.echo(f"breezeblock: waiting for what an earlier serve that was killed left running: {held}", err=True)


class Supervisor:
    """Keeps the children running until a signal ends all of them."""

    def __init__(self, children: dict[str, list[str]], notifier: notify.Notifier, held_by_children: LockFile) -> None:
        self._argv = children
        self._notifier = notifier
        self._held_by_children = held_by_children
        self._pids: dict[int, tuple[str, float]] = {}
        self._restarted: set[str] = set()
        self._ending = False

    def run(self) -> None:
        """Start the children, start again what dies, and end with them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._notifier.keep_telling()
        for name in self._argv:
            self._start(name)
        while self._pids:
            self._reap()

    def _start(self, name: str) -> None:
        # the API knows when requests are answered
        environment = self._notifier.for_child if name == "api" else {}
        self._pids[commands.start_child(self._argv[name], environment)] = (name, time.monotonic())
        self._held_by_children.name_holder(", ".join(f"{pid} ({role})" for pid, (role, _) in self._pids.items()))

    def _reap(self) -> None:
        pid, status = os.wait()
        if pid not in self._pids:
            return
        name, started = self._pids.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if self._ending:
            return
        soon = time.monotonic() - started < HEALTHY_SECONDS
        if code == options.EXIT_CONFIG or (code > 0 and soon and code != EXIT_LOST_SLOT):
            self._end()
            while self._pids:
                self._reap()
            raise ConfigError(f"{name} ended with {code} soon after its start; its message stands above.")
        click.echo(f"breezeblock: {name} ended with {code}; it is started again", err=True)
        if soon and name in self._restarted:
            time.sleep(1)
        self._restarted.add(name)
        if not self._ending:
            self._start(name)

    def _end(self, *_: Any) -> None:
        self._ending = True
        self._notifier.end(SHUTDOWN_SECONDS, self._kill)
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _kill(self) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
