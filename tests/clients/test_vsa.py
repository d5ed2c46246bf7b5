"""The walkthrough's example from end to end, with an image of 64 MB: `VSA` becomes `zd2` on `jenkins@DS01#DS02`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from breezeblock.errors import BreezeblockError
from scripts.service import BREEZEBLOCK, Service, ServiceFailed, files_left

ROOT = Path(__file__).parents[2]
RUNGS = ["driver_clone", "image_volume", "cached", "download", "bootable"]


@pytest.fixture(scope="module")
def vsa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small sibling of the demo's image, made by the same script."""
    target = tmp_path_factory.mktemp("vsa") / "VSA.vhd"
    subprocess.run([sys.executable, ROOT / "scripts" / "vsa_image.py", "--megabytes", "64", target], check=True)
    assert 50_000_000 <= target.stat().st_size <= 80_000_000
    return target


def import_vsa(service: Service, file: Path) -> str:
    image_id = service.image("VSA", "vhd", os_distro="debian", os_type="Linux")
    with file.open("rb") as content:
        service.upload(image_id, content, file.stat().st_size)
    return image_id


def explain(service: Service, volume: str) -> Any:
    argv: list[str | Path] = [BREEZEBLOCK, "explain", volume, "--json", "--data-dir", service.data_dir]
    return json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def test_vsa_becomes_zd2(service: Service, vsa: Path) -> None:
    call = service.client.call
    image_id = import_vsa(service, vsa)
    volume_id = service.create("volume", name="zd2", size=10, imageRef=image_id, volume_type="DS01")
    *_, operation = service.watch(volume_id)
    assert operation["bytes_done"] == operation["bytes_total"] > 0

    volume = call("GET", f"/volumes/{volume_id}")["volume"]
    assert (volume["status"], volume["size"], volume["bootable"]) == ("available", 10, "true")
    assert volume["os-vol-host-attr:host"] == "jenkins@DS01#DS02"
    remembered = volume["volume_image_metadata"]
    assert remembered["image_id"] == image_id
    assert (remembered["os_distro"], remembered["os_type"], remembered["min_disk"]) == ("debian", "Linux", "0")

    with service.connected("zd2") as uri:
        subprocess.run(["qemu-img", "compare", "-f", "vpc", "-F", "raw", vsa, uri], check=True)
        info = json.loads(subprocess.run(["nbdinfo", "--json", uri], capture_output=True, check=True).stdout)
        assert info["exports"][0]["export-size"] == 10 << 30
        with pytest.raises(BreezeblockError, match="attached"):
            call("DELETE", f"/volumes/{volume_id}")

    call("DELETE", f"/volumes/{volume_id}")
    service.wait_until_none("volumes")
    service.delete_image(image_id)
    assert files_left(service.data_dir) == []


def test_explain_tells_each_rung_and_why(service: Service, vsa: Path) -> None:
    image_id = import_vsa(service, vsa)
    volume_id = service.create("volume", name="zd2", size=10, imageRef=image_id, volume_type="DS01")
    *_, _ended = service.watch(volume_id)

    told = explain(service, "zd2")
    assert told["resource_id"] == volume_id
    (operation,) = told["operations"]
    assert (operation["kind"], operation["state"]) == ("create_volume", "succeeded")
    rungs = [answer for answer in operation["answers"] if answer["step"] != "placement"]
    assert [rung["step"] for rung in rungs] == RUNGS
    assert [rung["outcome"] for rung in rungs] == ["declined"] * 3 + ["made"] * 2
    assert all(rung["reason"] for rung in rungs[:3])
    assert all(rung["given"]["image"] == image_id for rung in rungs)
    pools = {answer["outcome"]: answer["reason"] for answer in operation["answers"] if answer["step"] == "placement"}
    assert pools["fits"].startswith("jenkins@DS01#DS02")
    assert "volume_backend_name" in pools["refused"]


def test_a_file_that_is_no_vhd_is_refused_and_leaves_nothing(service: Service, tmp_path: Path) -> None:
    false = tmp_path / "false.vhd"
    false.write_bytes(b"conectix" + bytes(1 << 20))
    with pytest.raises(ServiceFailed, match=r"400 .*The vhd image is refused"):
        import_vsa(service, false)
    assert files_left(service.data_dir) == []
