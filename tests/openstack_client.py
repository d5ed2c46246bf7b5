"""The unmodified `openstack` client as tests use it, and a real image for it to upload."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WAIT_SECONDS = 120


class OpenStackFailed(Exception):
    """The openstack client ended with an error; the message is what it printed."""


class OpenStack:
    """The client with one of the clouds in a clouds.yaml."""

    def __init__(self, clouds_yaml: Path, cloud: str) -> None:
        own = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        self._env = {**own, "OS_CLIENT_CONFIG_FILE": str(clouds_yaml), "OS_CLOUD": cloud}

    def __call__(self, *arguments: str | Path) -> str:
        """Run a command and return what it printed. Raises `OpenStackFailed`."""
        program = Path(sys.executable).with_name("openstack")
        done = subprocess.run([program, *arguments], env=self._env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OpenStackFailed(f"openstack {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str | Path) -> Any:
        """Run a command with `-f json` and return the value it printed."""
        return json.loads(self(*arguments, "-f", "json"))

    def available(self, *kind: str, name: str) -> Any:
        """Wait until a resource (`volume`, or `volume snapshot`) is `available` and return what the client shows of it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (shown := self.json(*kind, "show", name))["status"] != "available":
            assert not shown["status"].startswith("error"), shown
            assert time.monotonic() < deadline, shown
        return shown

    def gone(self, *kind: str, names: set[str]) -> None:
        """Wait until no resource of the kind has one of the names."""
        deadline = time.monotonic() + WAIT_SECONDS
        while left := [row for row in self.json(*kind, "list") if row["Name"] in names]:
            assert all(not row["Status"].startswith("error") for row in left), left
            assert time.monotonic() < deadline, left


def image_file(directory: Path) -> Path:
    """A qcow2 of 64 MiB with an ext4 file system that holds a file."""
    tree, raw, qcow2 = directory / "tree", directory / "disk.raw", directory / "disk.qcow2"
    tree.mkdir()
    (tree / "greeting").write_text("hello from the image\n" * 1000)
    raw.touch()
    os.truncate(raw, 64 << 20)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, raw], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    return qcow2
