"""Tempest and cinder-tempest-plugin: installed from PyPI by pinned hashes, run against one Block Storage service."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from tests.real import peers
from tests.real.identity import REGION

REQUIREMENTS = peers.REQUIREMENTS.with_name("tempest.txt")
RESULTS = Path(__file__).with_name("subunit_results.py")
CONF = """
[DEFAULT]
log_file = {home}/tempest.log
[oslo_concurrency]
lock_path = {home}/lock
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
[identity]
auth_version = v3
uri_v3 = {auth_url}
region = {region}
v3_endpoint_type = public
[service_available]
cinder = true
glance = true
nova = false
neutron = true
swift = false
horizon = false
[network]
# Classes with one test that boots a server ask for the security groups of their project; Keystone answers 404, which is
# taken for none. Without a network service they are skipped whole.
catalog_type = identity
[compute]
image_ref = {image_id}
image_ref_alt = {image_id}
[compute-feature-enabled]
volume_multiattach = true
[validation]
run_validation = false
[enforce_scope]
cinder = true
[volume]
catalog_type = block-storage
min_microversion = 3.0
max_microversion = latest
volume_size = 1
build_interval = 1
build_timeout = 120
vendor_name = {vendor_name}
storage_protocol = {storage_protocol}
backup_driver = {backup_driver}
backend_names = {backend_names}
[volume-feature-enabled]
backup = true
snapshot = true
clone = true
manage_volume = true
manage_snapshot = true
volume_revert = true
consistency_group = true
multi_backend = true
extend_attached_volume = false
"""
STESTR_CONF = """[DEFAULT]
test_path = {tempest}/test_discover
top_dir = {top}
group_regex = ([^\\.]*\\.)*
"""


class Answer(msgspec.Struct, frozen=True):
    """What a test answered: `success`, `fail`, `skip`, `xfail` or `uxsuccess`, and why."""

    outcome: str
    reason: str


class Tempest:
    """The installed suites with a workspace in `home`, which is made."""

    def __init__(self, home: Path, auth_url: str, image_id: str, **backend: str) -> None:
        self._venv = peers.install_packages(REQUIREMENTS)
        self._home = home
        (home / "lock").mkdir(parents=True)
        told: dict[str, Any] = {"home": home, "auth_url": auth_url, "image_id": image_id, **backend}
        (home / "tempest.conf").write_text(CONF.format(password=peers.PASSWORD, region=REGION, **told))
        package = next(self._venv.glob("lib/python3*/site-packages/tempest"))
        (home / ".stestr.conf").write_text(STESTR_CONF.format(tempest=package, top=package.parent))

    def run(self, *names: str) -> dict[str, Answer]:
        """Run all tests that match one of these regular expressions, two at a time; what each answered, by its name.

        One that ran twice has the worse answer. Raises `RuntimeError` when nothing ran.
        """
        chosen = self._home / "chosen"
        chosen.write_text("".join(f"{name}\n" for name in names))
        argv: list[str | Path] = [self._venv / "bin" / "tempest", "run", "--subunit", "--concurrency", "2"]
        argv += ["--config-file", self._home / "tempest.conf", "--include-list", chosen]
        found: dict[str, Answer] = {}
        with (
            (self._home / "stderr").open("w") as errors,
            subprocess.Popen(
                argv, cwd=self._home, env=self._environment(), stdout=subprocess.PIPE, stderr=errors
            ) as suite,
            subprocess.Popen(
                [self._venv / "bin" / "python", RESULTS], stdin=suite.stdout, stdout=subprocess.PIPE, text=True
            ) as results,
        ):
            assert results.stdout is not None
            for line in results.stdout:
                name, outcome, reason = json.loads(line)
                if found.get(name, Answer("success", "")).outcome == "success":
                    found[name] = Answer(outcome, reason)
                print(f"{outcome:8} {name}", flush=True)
        if not found:
            told = (self._home / "stderr").read_text() + (self._home / "tempest.log").read_text()
            raise RuntimeError(f"No test ran:\n{told[-3000:]}")
        return found

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "OS_TEST_TIMEOUT": "600", "HOME": str(self._home)}
