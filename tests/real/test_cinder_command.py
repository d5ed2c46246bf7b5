"""A volume's life by the unmodified `cinder` command against a real Keystone, a real Glance and Breezeblock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.openstack_client import OpenStack, image_file
from tests.real.conftest import Cloud
from tests.real.identity import CLOUDS, REGION
from tests.real.peers import PASSWORD
from tests.real.touring import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.usefixtures("breezeblock")]


class Cinder:
    """The command as one of the users of `CLOUDS`, by the newest microversion."""

    def __init__(self, cloud: Cloud, user: str) -> None:
        own = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        self._env = own | {
            "OS_AUTH_URL": cloud.auth_url,
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORD,
            "OS_PROJECT_NAME": CLOUDS[user],
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": REGION,
            "OS_VOLUME_API_VERSION": "3.71",
        }

    def __call__(self, *arguments: str) -> list[list[str]]:
        """The rows that a command prints, without the head of a table; cells have a line for each of their values. Fails
        where the command fails."""
        program = Path(sys.executable).with_name("cinder")
        done = subprocess.run([program, *arguments], env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        rows: list[list[str]] = []
        for line in (line for line in done.stdout.splitlines() if line.startswith("|")):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[0]:
                rows.append(cells)
            else:  # the row above goes on
                rows[-1] = ["\n".join(filter(None, pair)) for pair in zip(rows[-1], cells, strict=True)]
        return rows[1:]

    def fields(self, *arguments: str) -> dict[str, str]:
        """What a command shows of one thing, by name."""
        return {row[0]: row[1] for row in self(*arguments)}

    def wait(self, *show: str, status: str = "available") -> dict[str, str]:
        """What a command shows of a thing, once it has a status."""
        found: dict[str, str] = until(lambda: self.fields(*show), lambda it: it["status"] in (status, "error"))
        assert found["status"] == status, found
        return found

    def gone(self, list_command: str, thing_id: str) -> None:
        """Until a list does not have it any more."""
        until(lambda: thing_id in {row[0] for row in self(list_command)}, lambda there: not there)


@pytest.fixture
def cinder(cloud: Cloud) -> Cinder:
    return Cinder(cloud, "demo")


def test_the_life_of_a_volume(cloud: Cloud, cinder: Cinder, tmp_path: Path) -> None:
    admin = OpenStack(cloud.clouds_yaml, "admin")
    upload = ("image", "create", "--public", "--disk-format", "qcow2", "--file", image_file(tmp_path))
    image_id = admin.json(*upload, "command")["id"]
    root = cinder.fields("create", "--poll", "--image", "command", "--name", "root", "--metadata", "a=b", "--", "1")[
        "id"
    ]
    shown = cinder.wait("show", "root")
    assert (shown["id"], shown["size"], shown["bootable"], shown["metadata"]) == (root, "1", "true", "a : b")
    assert image_id in shown["volume_image_metadata"]
    cinder("rename", "root", "system", "--description", "renamed")
    cinder("metadata", "system", "set", "c=d")
    cinder("metadata", "system", "unset", "a")
    assert cinder("metadata-show", "system") == [["c", "d"]]
    cinder("image-metadata", "system", "set", "os_distro=debian")
    assert ["os_distro", "debian"] in cinder("image-metadata-show", "system")
    cinder("readonly-mode-update", "system", "True")
    cinder("readonly-mode-update", "system", "False")
    cinder("extend", "system", "2")
    assert cinder.wait("show", "system")["size"] == "2"
    taken = cinder.fields("snapshot-create", "--name", "before", "system")["id"]
    cinder.wait("snapshot-show", "before")
    cinder("snapshot-rename", "before", "then")
    assert [row[0] for row in cinder("snapshot-list", "--volume-id", root)] == [taken]
    cinder("revert-to-snapshot", "then")
    cinder.wait("show", "system")
    copy = cinder.fields("create", "--snapshot-id", taken, "--name", "copy", "2")["id"]
    cinder.wait("show", copy)
    saved = cinder.fields("backup-create", "--name", "saved", "copy")["id"]
    cinder.wait("backup-show", "saved")
    cinder.wait("show", "copy")
    cinder("backup-restore", "--volume", "copy", "saved")
    cinder.wait("show", "copy")
    cinder.wait("backup-show", "saved")
    assert {root, copy} <= {row[0] for row in cinder("list", "--sort", "name:asc")}
    assert [row[0] for row in cinder("list", "--filters", "name~=syst")] == [root]
    cinder("upload-to-image", "--disk-format", "qcow2", "copy", "of-the-copy")
    cinder.wait("show", "copy")
    cinder("backup-delete", "saved")
    cinder.gone("backup-list", saved)
    cinder("delete", "copy")
    cinder("delete", "--cascade", "system")
    cinder.gone("list", copy)
    cinder.gone("list", root)


def test_a_volume_is_given_away(cloud: Cloud, cinder: Cinder) -> None:
    given = cinder.fields("create", "--name", "gift", "1")["id"]
    cinder.wait("show", "gift")
    offer = cinder.fields("transfer-create", "--name", "offer", "gift")
    assert [row[0] for row in cinder("transfer-list")] == [offer["id"]]
    assert cinder.fields("transfer-show", "offer")["volume_id"] == given
    other = Cinder(cloud, "other")
    other("transfer-accept", offer["id"], offer["auth_key"])
    assert given in {row[0] for row in other("list")}
    other("delete", "gift")
    other.gone("list", given)


def test_what_an_administrator_sees_and_does(cloud: Cloud, cinder: Cinder) -> None:
    admin = Cinder(cloud, "admin")
    assert {row[0] for row in admin("service-list")} >= {"cinder-volume", "cinder-scheduler", "cinder-backup"}
    pools = [row[1] for row in admin("get-pools") if row[0] == "name"]
    assert {pool.rpartition("#")[0].rpartition("@")[2] for pool in pools} == {"first", "second"}
    made = admin("type-create", "--is-public", "False", "commanded")[0][0]
    admin("type-key", "commanded", "set", "volume_backend_name=first")
    admin("type-access-add", "--volume-type", "commanded", "--project-id", cloud.project_ids["demo"])
    assert [row[0] for row in cinder("type-list")].count(made) == 1
    volume = cinder.fields("create", "--volume-type", "commanded", "--name", "typed", "1")["id"]
    cinder.wait("show", "typed")
    admin("reset-state", "--state", "error", volume)
    assert cinder.fields("show", "typed")["status"] == "error"
    admin("force-delete", volume)
    cinder.gone("list", volume)
    admin("type-delete", "commanded")
    assert cinder.fields("quota-usage", cloud.project_ids["demo"])["volumes"] == str(len(cinder("list")))
    assert ["volume", *cinder("list-filters", "--resource", "volume")[0][1:]] in cinder("list-filters")
    assert [row[0] for row in cinder("availability-zone-list")] == ["nova"]
    assert cinder("absolute-limits")
    assert cinder("summary")
    assert cinder("version-list")
