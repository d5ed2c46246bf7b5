"""A Debian guest boots from a volume whose image is still on its way."""

import hashlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.image_path import images as disks
from scripts.service import Service
from tests.clients.test_lazy_hydration import CONF, attach, hydration, until
from tests.range_service import RangeService
from tests.real import guest

CACHE = Path("~/.cache/breezeblock").expanduser()
SCRIPT = (
    'echo; cat /etc/debian_version; dpkg -l | wc -l; perl -e "print qq(perl \\$]\\n)"; cat /marker 2>/dev/null; '
    "date +%s > /new && cat /new >> /marker && sync && echo IT IS UP; "
    "umount / 2>/dev/null; mount -o remount,ro / ; sync; echo o > /proc/sysrq-trigger; sleep 60"
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> guest.Guest:
    """The guest: packages come from Debian the first time."""
    return guest.install(CACHE / "guest", SCRIPT, tmp_path_factory.mktemp("guest"))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Service, RangeService]]:
    """A running service and its image service."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    with RangeService() as images:
        (data_dir / "breezeblock.conf").write_text(CONF.format(url=images.url))
        with Service(data_dir) as running:
            running.wait_until_up()
            running.create("type", name="lazy", extra_specs={"image_hydration": "lazy"})
            yield running, images


@pytest.mark.parametrize("label", ["qcow2", "qcow2 zlib"])
def test_a_guest_boots_while_its_image_comes(
    service: tuple[Service, RangeService], machine: guest.Guest, tmp_path: Path, label: str
) -> None:
    """First with nothing coming but what it asks for, then while the rest streams in, then from the whole volume."""
    running, images = service
    disks.make(CACHE / "bench-image", [label])
    file = CACHE / "bench-image" / disks.file_name(label)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    image_id = str(uuid.uuid4())
    images.add(image_id, file, "qcow2", os_hash_algo="sha256", os_hash_value=digest)
    images.streams.clear()
    volume_id = running.create("volume", size=4, imageRef=image_id, volume_type="lazy")
    until(lambda: running.client.call("GET", f"/volumes/{volume_id}")["volume"]["status"] == "available")
    judged, size = images.range_bytes, file.stat().st_size
    uri = attach(running, volume_id)
    first = machine.boot(uri, tmp_path / "first.log")
    assert "IT IS UP" in first, first
    fetched = images.range_bytes - judged
    print(f"{label}: {judged} bytes to judge it, {fetched} of {size} to boot ({100 * fetched / size:.1f} %)")
    assert fetched < size * 0.05
    images.seconds_a_piece = 0.01
    images.streams.set()
    second = machine.boot(uri, tmp_path / "second.log")
    images.seconds_a_piece = 0
    until(lambda: hydration(running, volume_id)["state"] == "succeeded", seconds=600)
    images.status = 503
    third = machine.boot(uri, tmp_path / "third.log")
    assert [len(re.findall(r"^\d{10}\r?$", text, re.MULTILINE)) for text in (first, second, third)] == [0, 1, 2]
