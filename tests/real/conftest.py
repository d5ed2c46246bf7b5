"""A cloud of real parts: Keystone, Glance and Breezeblock between them, with the openstack client as its user."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.ceph import Ceph
from tests.openstack_client import OpenStack
from tests.processes import Server, free_port
from tests.real import identity, peers

BREEZEBLOCK_CONF = """
[DEFAULT]
enabled_backends = first, second
auth_strategy = keystone
image_service = glance
cinder_internal_tenant_project_id = {internal_project}
cinder_internal_tenant_user_id = {internal_user}

[first]
volume_driver = directory
volume_backend_name = first

[second]
volume_driver = directory
volume_backend_name = second

[keystone_authtoken]
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
auth_type = password
username = breezeblock
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default
service_token_roles = service
service_token_roles_required = true

[glance]
auth_url = {auth_url}
username = breezeblock
password = {password}
project_name = service
region_name = {region}
"""


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """Where the running Keystone and Glance are, and where Breezeblock is expected."""

    auth_url: str
    image_url: str
    volume_port: int
    clouds_yaml: Path
    project_ids: dict[str, str]
    user_ids: dict[str, str]
    barbican_url: str
    """Where the catalog has it; the tests that need it start it."""
    installed: peers.Peers


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Keystone and Glance, running, with users, roles and catalog."""
    home = tmp_path_factory.mktemp("cloud")
    installed = peers.install(home / "peers")
    keystone_port, glance_port, volume_port, barbican_port = (free_port() for _ in range(4))
    barbican_url = f"http://127.0.0.1:{barbican_port}"
    auth_url, image_url = f"http://127.0.0.1:{keystone_port}/v3", f"http://127.0.0.1:{glance_port}"
    clouds_yaml = home / "clouds.yaml"
    clouds_yaml.write_text(identity.clouds_yaml(auth_url))
    with installed.start_keystone(keystone_port):
        known = identity.Identity(auth_url)
        known.fill(image_url, f"http://127.0.0.1:{volume_port}", barbican_url)
        with installed.start_glance(glance_port, auth_url):
            yield Cloud(
                auth_url=auth_url,
                image_url=image_url,
                volume_port=volume_port,
                clouds_yaml=clouds_yaml,
                project_ids=known.project_ids,
                user_ids=known.user_ids,
                barbican_url=barbican_url,
                installed=installed,
            )


@pytest.fixture(scope="session")
def breezeblock(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our server at the catalog's endpoint, with Keystone's tokens and Glance's images."""
    data_dir = tmp_path_factory.mktemp("breezeblock")
    (data_dir / "breezeblock.conf").write_text(
        BREEZEBLOCK_CONF.format(
            auth_url=cloud.auth_url,
            password=peers.PASSWORD,
            region=identity.REGION,
            internal_project=cloud.project_ids["cinder-internal"],
            internal_user=cloud.user_ids["cinder-internal"],
        )
    )
    address = f"127.0.0.1:{cloud.volume_port}"
    program = Path(sys.executable).with_name("breezeblock")
    argv: list[str | Path] = [program, "serve", "--data-dir", data_dir, "--listen", address]
    with Server(argv, data_dir.with_name("breezeblock.log")) as server:
        server.wait_for(f"http://{address}/")
        yield server


@pytest.fixture
def openstack(cloud: Cloud) -> OpenStack:
    """The openstack client as the member `demo`."""
    return OpenStack(cloud.clouds_yaml, "demo")


@pytest.fixture
def other(cloud: Cloud) -> OpenStack:
    """The openstack client as a member of another project."""
    return OpenStack(cloud.clouds_yaml, "other")


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """A running Ceph with empty pools."""
    with Ceph() as running:
        yield running
