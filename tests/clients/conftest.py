"""A running service, as `make demo` starts it, for the clients that users have."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.service import BREEZEBLOCK, Service
from tests.openstack_client import OpenStack

CONFIGURATION = """
[DEFAULT]
enabled_backends = directory, DS01

[DS01]
backend_host = jenkins
pool_name = DS02
directory_path = {data_dir}/DS01
image_volume_cache_enabled = false
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The service on a fresh data directory: the embedded default, and the walkthrough's backend `jenkins@DS01#DS02`."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / "breezeblock.conf").write_text(CONFIGURATION.format(data_dir=data_dir))
    with Service(data_dir) as running:
        running.wait_until_up()
        running.create("type", name="DS01", extra_specs={"volume_backend_name": "DS01"})
        yield running


@pytest.fixture
def openstack(service: Service, tmp_path: Path) -> OpenStack:
    """The openstack client with the clouds.yaml that the service prints for it."""
    printed = subprocess.run(
        [BREEZEBLOCK, "clouds-yaml", "--data-dir", service.data_dir], capture_output=True, text=True, check=True
    )
    clouds_yaml = tmp_path / "clouds.yaml"
    clouds_yaml.write_text(printed.stdout)
    return OpenStack(clouds_yaml, "breezeblock")
