"""The real peers themselves: Keystone knows the users and the catalog, Glance keeps an image byte by byte."""

import os
from pathlib import Path

import pytest

from tests.openstack_client import OpenStack
from tests.real.conftest import Cloud

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


def test_keystone_issues_a_token_for_the_project(cloud: Cloud, openstack: OpenStack) -> None:
    assert openstack.json("token", "issue")["project_id"] == cloud.project_ids["demo"]


def test_the_catalog_leads_to_block_storage_here(cloud: Cloud) -> None:
    admin = OpenStack(cloud.clouds_yaml, "admin")
    urls = {(found["Service Type"], found["Interface"]): found["URL"] for found in admin.json("endpoint", "list")}
    at = f"http://127.0.0.1:{cloud.volume_port}/v3"
    assert urls["block-storage", "public"] == at
    assert urls["volumev3", "public"] == f"{at}/%(project_id)s"


def test_glance_returns_the_image_it_was_given(openstack: OpenStack, tmp_path: Path) -> None:
    given, returned = tmp_path / "given.raw", tmp_path / "returned.raw"
    given.write_bytes(os.urandom(5 << 20))
    openstack("image", "create", "--disk-format", "raw", "--container-format", "bare", "--file", given, "noise")
    shown = openstack.json("image", "show", "noise")
    assert (shown["status"], shown["size"]) == ("active", given.stat().st_size)
    openstack("image", "save", "--file", returned, "noise")
    assert returned.read_bytes() == given.read_bytes()
    openstack("image", "delete", "noise")
    assert "noise" not in {image["Name"] for image in openstack.json("image", "list")}  # other tests leave theirs
