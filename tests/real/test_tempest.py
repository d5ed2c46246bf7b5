"""Tempest's tests of the Block Storage API and those of cinder-tempest-plugin, whole, on two backends.

`BREEZEBLOCK_TEMPEST=REGEX` runs a part of them.
"""

import os
import re
from pathlib import Path

import pytest

from tests.openstack_client import OpenStack, image_file
from tests.real.conftest import Cloud
from tests.real.tempest import Tempest

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600), pytest.mark.usefixtures("breezeblock")]

REQUIRED = Path(__file__).with_name("tempest_required.txt")
"""What passes on Cinder 29.0.0 without Nova, and what else passes here, one name a line."""

EXCUSED = {
    r"compute service is not available|Nova is not available": "asks for a server, and there is no Nova",
    r"Skipped until bug: https://launchpad.net/bugs/": "switched off by its authors",
    r"Volume replication feature disabled": "asks for a second storage in a configuration that Tempest knows",
}
"""Reasons for which tests are skipped, and why that is right."""

IMPOSSIBLE = {
    "cinder_tempest_plugin.api.volume.test_volume_backup.VolumesBackupsTest.test_incremental_backup": "Service: compute",
}
"""Tests that boot a server without looking whether there is a compute service, as they fail on Cinder too; and how."""

CHOSEN = os.environ.get("BREEZEBLOCK_TEMPEST")
SELECTION = (r"^tempest\.api\.volume\.", r"^cinder_tempest_plugin\.api\.", r"^cinder_tempest_plugin\.rbac\.")


def test_whatever_passes_on_cinder_passes_here(cloud: Cloud, tmp_path: Path) -> None:
    openstack = OpenStack(cloud.clouds_yaml, "admin")
    file = image_file(tmp_path)
    openstack("image", "create", "--public", "--disk-format", "qcow2", "--file", file, "tempest")
    tempest = Tempest(
        tmp_path / "tempest",
        cloud.auth_url,
        openstack.json("image", "show", "tempest")["id"],
        vendor_name="Breezeblock",
        storage_protocol="nbd",
        backup_driver="posix",
        backend_names="first,second",
    )
    found = tempest.run(CHOSEN) if CHOSEN else tempest.run(*SELECTION)
    failed = {
        name: answer.reason
        for name, answer in found.items()
        if answer.outcome in {"fail", "uxsuccess"} and IMPOSSIBLE.get(name, name) not in answer.reason
    }
    skipped = {name: answer.reason for name, answer in found.items() if answer.outcome == "skip"}
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason.splitlines()[-1] if reason else ''}")
    required = [name for name in REQUIRED.read_text().split() if CHOSEN is None or re.search(CHOSEN, name)]
    missing = [name for name in required if found.get(name) is None or name in skipped]
    unexcused = [name for name, reason in skipped.items() if not any(re.search(one, reason, re.I) for one in EXCUSED)]
    assert not failed, "\n\n".join(f"{name}\n{reason}" for name, reason in failed.items())
    assert not missing, f"did not run: {missing}"
    assert not unexcused, f"skipped without a known reason: {unexcused}"
