"""`breezeblock driver check`: on our own drivers, on the example of docs/drivers.md, and on packages that break rules."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breezeblock.cli.driver import command
from breezeblock.drivers.conformance import settings_for
from breezeblock.drivers.registry import open_driver
from scripts.service import BREEZEBLOCK
from tests.drivers.directory_storage import MIB, a_volume, mounted

EXAMPLE = Path(__file__).parents[2] / "examples" / "acme-driver"
UV = Path(sys.executable).with_name("uv")

BROKEN = """
from breezeblock.drivers.simulated.driver import SimulatedDriver
from breezeblock.errors import BackendNotFound


class BrokenDriver(SimulatedDriver):
    def delete_snapshot(self, snapshot):
        self.volumes.get(snapshot.storage_name)
        super().delete_snapshot(snapshot)

    def create_cloned_volume(self, volume, source, *, rewrite=None):
        self.volumes.delete(volume.storage_name)
        return super().create_cloned_volume(volume, source, rewrite=rewrite)


class KeepingDriver(SimulatedDriver):
    def delete_volume(self, volume):
        pass
"""


def config_file(directory: Path, driver: str, **options: Any) -> Path:
    file = directory / f"{driver}.conf"
    lines = ["[DEFAULT]", "enabled_backends = given_up", "[given_up]", f"volume_driver = {driver}"]
    file.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in options.items())]) + "\n")
    return file


def check(driver: str, file: Path, *arguments: str, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    argv: list[Any] = [BREEZEBLOCK, "driver", "check", driver, "--config-file", file, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(packages)} if packages else None
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


def checked(driver: str, file: Path, *arguments: str, packages: Path | None = None) -> dict[str, Any]:
    ran = check(driver, file, "--json", *arguments, packages=packages)
    assert ran.stdout, ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    assert ran.returncode == (0 if report["ok"] else 1)
    return report


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A package with bad drivers, installed beside the service: its entry points are all that names it."""
    packages = tmp_path / "packages"
    info = packages / "broken_breezeblock-0.1.dist-info"
    info.mkdir(parents=True)
    (packages / "broken_breezeblock.py").write_text(BROKEN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-breezeblock\nVersion: 0.1\n")
    points = "broken = broken_breezeblock:BrokenDriver\nkeeping = broken_breezeblock:KeepingDriver\n"
    (info / "entry_points.txt").write_text(f"[breezeblock.drivers]\n{points}")
    return packages


@pytest.mark.timeout(900)
def test_the_example_keeps_all_rules(tmp_path: Path) -> None:
    """Installed as its own package, on a filesystem small enough to be filled up."""
    packages = tmp_path / "packages"
    install: list[Any] = [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", packages, EXAMPLE], check=True, capture_output=True)
    with mounted("ext4", tmp_path, 200 * MIB) as disk:
        path = disk / "acme"
        report = checked("acme", config_file(tmp_path, "acme", acme_path=path), "--kill-places", "2", packages=packages)
        assert list(path.iterdir()) == []
    assert report["ok"], [one for one in report["rules"] if one["outcome"] == "failed"]
    assert (report["distribution"], report["left"], report["implements"]) == ("acme-breezeblock 1.0", [], [])
    assert {one["name"]: one["outcome"] for one in report["rules"]}["test_a_fill_without_room"] == "passed"
    themes = {one["theme"] for one in report["rules"] if one["outcome"] == "passed"}
    wanted = {"function", "idempotence", "concurrency", "kill points", "capacity", "hostile names", "capability claims"}
    assert themes == wanted
    figures = {one["verb"]: one for one in report["verbs"]}
    assert figures["create_volume"]["calls"] > 100
    assert 0 < figures["create_volume"]["median_seconds"] <= figures["create_volume"]["worst_seconds"]


def test_our_own_drivers(tmp_path: Path) -> None:
    """Some rules of each theme; the whole of them hold for these in test_conformance."""
    some = "twice or hostile_texts or at_once or a_create_that_is_killed or room or implemented"
    small = config_file(tmp_path, "simulated", simulated_path=tmp_path / "fast", simulated_capacity_gb=0.1)
    for driver, file in (("simulated", small), ("directory", config_file(tmp_path, "directory"))):
        report = checked(driver, file, "-k", some)
        assert report["ok"], [one for one in report["rules"] if one["outcome"] == "failed"]
        assert report["counts"]["passed"] > 15
        skipped = {one["reason"] for one in report["rules"] if one["outcome"] == "skipped"}
        assert all(skipped)
    assert list((tmp_path / "fast" / "objects").iterdir()) == []


def test_broken_rules_are_named(tmp_path: Path, broken: Path) -> None:
    """A package that installs a bad driver: the report says which rules it breaks, and what each asks."""
    file = config_file(tmp_path, "broken", simulated_path=tmp_path / "storage")
    report = checked("broken", file, "-k", "twice or stays", packages=broken)
    failed = {one["name"]: one for one in report["rules"] if one["outcome"] == "failed"}
    assert set(failed) == {"test_deleting_twice", "test_copying_twice_is_copying_once"}
    assert failed["test_deleting_twice"]["rule"].startswith("Deleting what is gone succeeds")
    assert "BackendNotFound" in failed["test_deleting_twice"]["reason"]
    assert "broken_breezeblock.py" in failed["test_deleting_twice"]["details"]
    assert (report["left"], report["distribution"]) == ([], "broken-breezeblock 0.1")
    told = check("broken", file, "-k", "deleting_twice", packages=broken)
    assert told.returncode == 1
    assert "FAILED test_deleting_twice (idempotence)\n  The rule: Deleting what is gone succeeds" in told.stdout


def test_what_a_rule_leaves_stops_the_others(tmp_path: Path, broken: Path) -> None:
    """They would find it on the storage; it is shown, and nothing else is touched."""
    file = config_file(tmp_path, "keeping", simulated_path=tmp_path / "storage")
    report = checked("keeping", file, "-k", "test_extend", packages=broken)
    outcomes = [one["outcome"] for one in report["rules"]]
    assert outcomes == ["passed", *["not_run"] * (len(outcomes) - 1)]
    assert len(outcomes) > 2
    assert len(report["left"]) >= 1
    assert "the storage holds volume-" in report["rules"][-1]["reason"]


def test_a_storage_in_use_is_refused(tmp_path: Path) -> None:
    driver = open_driver(settings_for("simulated", tmp_path / "beside", simulated_path=str(tmp_path / "storage")))
    volume = a_volume()
    driver.create_volume(volume)
    refused = check("simulated", config_file(tmp_path, "simulated", simulated_path=tmp_path / "storage"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"The storage of [given_up] holds {volume.storage_name}." in refused.stderr
    assert list(driver.list_objects()) == [volume.storage_name]


def test_what_cannot_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = config_file(tmp_path, "simulated", simulated_path=tmp_path / "storage")
    for arguments, said in (
        (("directory",), "has to have volume_driver = directory; none is."),
        (("simulated", "--backend", "other"), "No backend other is enabled"),
        (("simulated", "-k", "no_such_rule"), "No rule is called no_such_rule."),
    ):
        refused = check(arguments[0], file, *arguments[1:])
        assert (refused.returncode, said in refused.stderr) == (78, True), refused.stderr
    monkeypatch.setitem(sys.modules, "pytest", None)
    monkeypatch.delitem(sys.modules, "breezeblock.drivers.check.run", raising=False)
    missing = CliRunner().invoke(command, ["check", "simulated", "--config-file", str(file)])
    assert (missing.exit_code, "install breezeblock[conformance]" in missing.output) == (78, True)
