"""Incremental backups of volumes on a real Ceph: only what has changed is read, and each backup is whole."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.service import Service
from tests.ceph import Ceph
from tests.clients.test_lazy_hydration import until
from tests.real.test_rbd_service import doctor, make, serving, show, uri

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

MIB = 1 << 20
PLACES = (0, 1, 100, 500, 1023)
"""MiB; the first two are in one object of the image."""


def test_backups_of_what_has_changed(ceph: Ceph, tmp_path: Path) -> None:
    """A full one and two incremental ones, each restored into a new volume and into the one that it is of."""
    with serving(tmp_path, ceph, options="backup_changed_blocks = true") as running:
        volume_id = make(running)
        _write(ceph, volume_id, dict.fromkeys(PLACES, 17))
        full, first = _backup(running, volume_id), make(running, source_volid=volume_id)
        _write(ceph, volume_id, {100: 0x22, 900: 0x33})
        _qemu_io(ceph, volume_id, "discard 500M 4M", "-d", "unmap")
        second_backup, second = _backup(running, volume_id, incremental=True), make(running, source_volid=volume_id)
        _write(ceph, volume_id, {1: 0x44})
        last, third = _backup(running, volume_id, incremental=True), make(running, source_volid=volume_id)
        _qemu_io(ceph, third, "read -P 0x11 0 1M", "-r")
        _qemu_io(ceph, third, "read -P 0x44 1M 1M", "-r")
        _qemu_io(ceph, third, "read -P 0 500M 4M", "-r")
        assert _copied(running, full)["reads"] == "all data: a full backup"
        for backup, parent in ((second_backup, full), (last, second_backup)):
            told = _copied(running, backup)
            assert told["reads"].startswith(f"what has changed since the backup {parent}"), told
            assert told["read"] <= 16 * MIB, told
        for backup, wanted in ((full, first), (second_backup, second), (last, third)):
            _require_same(ceph, make(running, backup_id=backup), wanted)
        for backup, wanted in ((second_backup, second), (full, first)):
            running.client.call("POST", f"/backups/{backup}/restore", {"restore": {"volume_id": volume_id}})
            until(lambda: show(running, volume_id)["status"] == "available")
            _require_same(ceph, volume_id, wanted)
        assert doctor(running)[1]["findings"] == []
        for backup in (last, second_backup, full):  # a parent goes last
            running.client.call("DELETE", f"/backups/{backup}")
            until(lambda one=backup: one not in _listed(running))  # type: ignore[misc]


def _write(ceph: Ceph, volume_id: str, bytes_at: dict[int, int]) -> None:
    for place, byte in bytes_at.items():
        _qemu_io(ceph, volume_id, f"write -P {byte} {place}M 1M")


def _qemu_io(ceph: Ceph, volume_id: str, order: str, *options: str) -> None:
    command = ["qemu-io", *options, "-f", "raw", "-c", order, uri(ceph, f"volumes/volume-{volume_id}")]
    subprocess.run(command, check=True, capture_output=True)


def _require_same(ceph: Ceph, volume_id: str, wanted: str) -> None:
    """Hold that a volume reads as one that was cloned when the backup was made."""
    uris = [uri(ceph, f"volumes/volume-{one}") for one in (volume_id, wanted)]
    subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", *uris], check=True, capture_output=True)


def _backup(running: Service, volume_id: str, **fields: Any) -> str:
    backup_id = running.create("backup", volume_id=volume_id, **fields)
    for _ in running.watch(backup_id):
        pass
    return backup_id


def _listed(running: Service) -> set[str]:
    return {one["id"] for one in running.client.call("GET", "/backups")["backups"]}


def _copied(running: Service, backup_id: str) -> dict[str, Any]:
    """What the copy of a backup tells of itself."""
    (operation,) = running.client.call("GET", f"/operations?resource_id={backup_id}")["operations"]
    told = running.client.call("GET", f"/operations/{operation['id']}")["operation"]["answers"]
    found: dict[str, Any] = next(one for one in told if one["step"] == "copy")
    return {**found, **(found.get("result") or {})}
