"""The header gate: real images pass, hostile ones are refused with a reason."""

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock.errors import ImageUnacceptable
from breezeblock.images import inspect as gate
from breezeblock.images.content import open_file
from breezeblock.images.inspect import ImageFacts, inspect_head
from tests.unit import image_files
from tests.unit.image_files import DISK_SIZE, GRUB_ISO, KINDS, poke

GiB = 1 << 30
Change = Callable[[bytearray], None]


def inspect(path: Path, claimed: str, **rules: Any) -> ImageFacts:
    """The gate, for a file."""
    with open_file(path) as content:
        return gate.inspect(content, claimed, **rules)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One image of each kind, of the same disk."""
    directory = tmp_path_factory.mktemp("images")
    source = image_files.disk(directory / "source")
    return {kind: image_files.make(source, directory / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_real_images_pass(images: dict[str, Path], kind: str) -> None:
    facts = inspect(images[kind], KINDS[kind][0], max_virtual_size=GiB)
    qemu = {"vhd": "vpc"}.get(KINDS[kind][0], KINDS[kind][0])
    assert facts.format == qemu
    # qemu rounds a vhd up to its geometry, unless told otherwise
    exact = DISK_SIZE if kind not in {"vhd-dynamic", "vhd-fixed"} else 9469952
    assert (facts.virtual_size, facts.file_size) == (exact, images[kind].stat().st_size)


@pytest.mark.parametrize("claim", ["iso", "raw"])
def test_the_hybrid_grub_iso_passes(claim: str) -> None:
    assert inspect(GRUB_ISO, claim).virtual_size == GRUB_ISO.stat().st_size
    inspect_head(GRUB_ISO.read_bytes()[: 4 << 20], claim)


@pytest.mark.parametrize("claim", ["raw", "ami", "ari", "aki"])
def test_a_partitioned_disk_is_raw(tmp_path: Path, claim: str) -> None:
    assert inspect(image_files.disk(tmp_path / "d", partitioned=True), claim).format == "raw"


def test_a_fixed_vhd_of_a_partitioned_disk_passes(tmp_path: Path) -> None:
    source = image_files.disk(tmp_path / "d", partitioned=True)
    assert inspect(image_files.make(source, tmp_path / "v", "vhd-fixed"), "vhd").format == "vpc"


CLAIMS = ["raw", "iso", "qcow2", "vhd", "vhdx", "vmdk", "vdi"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_wrong_claim_is_refused(images: dict[str, Path], kind: str, claim: str) -> None:
    # the beginning of a fixed vhd is the disk itself, so as raw it is just a disk with a strange last sector
    if claim == KINDS[kind][0] or (claim == "raw" and kind == "vhd-fixed"):
        return
    with pytest.raises(ImageUnacceptable, match="claims to be"):
        inspect(images[kind], claim)


@pytest.mark.parametrize("claim", ["ploop", "", "qed", "luks", "vpcx"])
def test_an_unknown_format_is_refused(images: dict[str, Path], claim: str) -> None:
    with pytest.raises(ImageUnacceptable, match="accepted are"):
        inspect(images["raw"], claim)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_larger_than_the_volume_is_refused(images: dict[str, Path], kind: str) -> None:
    with pytest.raises(ImageUnacceptable, match="at least 1 GiB"):
        inspect(images[kind], KINDS[kind][0], max_virtual_size=DISK_SIZE - 512)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "raw"])
@pytest.mark.parametrize("left", [0, 1, 511, 600, 4096, 70_000, 200_000, 300_000, 1 << 20, 2 << 20, -65_537, -1024])
def test_a_truncated_file_is_refused(images: dict[str, Path], tmp_path: Path, kind: str, left: int) -> None:
    # nothing of the disk is in the rest of the last cluster, grain or block
    spare = {"qcow2-large-clusters": 1 << 21, "vhdx": 1 << 23, "vhdx-fixed": 1 << 23, "vmdk-stream": 1 << 16}
    spare |= {"qcow2": 1 << 16, "qcow2-v2": 1 << 16, "vmdk-sparse": 1 << 16}
    data = images[kind].read_bytes()
    if left < 0:
        left += len(data) - spare.get(kind, 0)
    if left >= len(data):
        return
    cut = tmp_path / "cut"
    cut.write_bytes(data[:left])
    with pytest.raises(ImageUnacceptable):
        inspect(cut, KINDS[kind][0])


def _descriptor(old: bytes, new: bytes) -> Change:
    def change(data: bytearray) -> None:
        text = bytes(data[512 : 512 + 20 * 512])
        assert old in text
        data[512 : 512 + 20 * 512] = text.replace(old, new).ljust(20 * 512, b"\0")[: 20 * 512]

    return change


def _vhd_kind(kind: int) -> Change:
    def change(data: bytearray) -> None:
        for at in (0, len(data) - 512):
            struct.pack_into(">I", data, at + 60, kind)
            struct.pack_into(">I", data, at + 64, 0)
            struct.pack_into(">I", data, at + 64, ~sum(data[at : at + 512]) & 0xFFFFFFFF)

    return change


def _vhdx_log(data: bytearray) -> None:
    for at in (64 << 10, 128 << 10):
        data[at + 48] = 1


def _vhdx_parent(data: bytearray) -> None:
    parameters = b"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b"
    at = data.index(parameters)
    table = data.index(b"metadata")
    struct.pack_into("<I", data, table + struct.unpack_from("<I", data, at + 16)[0] + 4, 2)


def _l1_offset(data: bytearray) -> int:
    return int(struct.unpack_from(">Q", data, 40)[0])


def _l1_beyond_the_end(data: bytearray) -> None:
    struct.pack_into(">Q", data, _l1_offset(data), len(data) & ~0xFFFF | 1 << 40)


def _l2_beyond_the_end(data: bytearray) -> None:
    l2 = struct.unpack_from(">Q", data, _l1_offset(data))[0] & 0x00FFFFFFFFFFFE00
    struct.pack_into(">Q", data, l2, 1 << 50)


QCOW2 = "qcow2"
HOSTILE: dict[str, tuple[str, Change, str]] = {
    "qcow2 backing file": (QCOW2, poke(8, ">QI", 512, 11), "backing file|backing_file"),
    "qcow2 external data file": (QCOW2, poke(72, ">Q", 1 << 2), "data_file|data file"),
    "qcow2 unknown feature": (QCOW2, poke(72, ">Q", 1 << 40), "unknown_features"),
    "qcow2 unknown compression": (QCOW2, poke(104, ">B", 7), "compression type 7"),
    "qcow2 extended L2": (QCOW2, poke(72, ">Q", 1 << 4), "extended L2|unknown_features"),
    "qcow2 dirty": (QCOW2, poke(72, ">Q", 1), "dirty"),
    "qcow2 corrupt": (QCOW2, poke(72, ">Q", 2), "corrupt"),
    "qcow2 version 1": (QCOW2, poke(4, ">I", 1), "unknown_features|version"),
    "qcow2 version 4": (QCOW2, poke(4, ">I", 4), "unknown_features|version"),
    "qcow2 cluster bits 255": (QCOW2, poke(20, ">I", 255), r"2\^255"),
    "qcow2 cluster bits 8": (QCOW2, poke(20, ">I", 8), r"2\^8"),
    "qcow2 8 EiB": (QCOW2, poke(24, ">Q", (1 << 63) - 512), "more than any volume"),
    "qcow2 11 GiB": (QCOW2, poke(24, ">Q", 11 << 30), "at least 11 GiB"),
    "qcow2 empty": (QCOW2, poke(24, ">Q", 0), "no content"),
    "qcow2 encrypted": (QCOW2, poke(32, ">I", 2), "encrypted"),
    "qcow2 L1 of 2^22": (QCOW2, poke(36, ">I", 1 << 22), "L1 table"),
    "qcow2 L1 of 2^32": (QCOW2, poke(36, ">I", (1 << 32) - 1), "L1 table"),
    "qcow2 L1 too short": (QCOW2, poke(36, ">I", 0), "L1 table"),
    "qcow2 L1 beyond the end": (QCOW2, poke(40, ">Q", 1 << 50), "truncated"),
    "qcow2 L2 beyond the end": (QCOW2, _l1_beyond_the_end, "truncated"),
    "qcow2 data beyond the end": (QCOW2, _l2_beyond_the_end, "truncated"),
    "qcow2 refcounts beyond the end": (QCOW2, poke(48, ">Q", 1 << 50), "truncated"),
    "qcow2 many refcount clusters": (QCOW2, poke(56, ">I", 1 << 31), "truncated"),
    "qcow2 65535 snapshots": (QCOW2, poke(60, ">I", 65535), "65535 internal snapshots"),
    "qcow2 header of 2 GiB": (QCOW2, poke(100, ">I", 1 << 31), "header claims"),
    "qcow2 refcount order": (QCOW2, poke(96, ">I", 60), "reference counts"),
    "qcow2 data file name": (QCOW2, poke(112, ">II", 0x44415441, 8), "data file"),
    "qcow2 luks header": (QCOW2, poke(112, ">II", 0x0537BE77, 16), "encrypted"),
    "qcow2 endless extension": (QCOW2, poke(112, ">II", 1, 0xFFFFFFF0), "extensions"),
    "vmdk parent": ("vmdk-sparse", _descriptor(b"parentCID=ffffffff", b"parentCID=12345678"), "parent"),
    "vmdk parent hint": (
        "vmdk-sparse",
        _descriptor(b"# Extent", b'parentFileNameHint="/etc/passwd"\n# Extent'),
        "parent",
    ),
    "vmdk monolithicFlat": ("vmdk-sparse", _descriptor(b"monolithicSparse", b"monolithicFlat"), "descriptor:"),
    "vmdk path as extent": ("vmdk-sparse", _descriptor(b'SPARSE "', b'SPARSE "/etc/'), "descriptor:"),
    "vmdk second extent": ("vmdk-sparse", _descriptor(b"# The Disk", b'RW 8 FLAT "passwd" 0\n# The Disk'), "extents"),
    "vmdk type twice": ("vmdk-sparse", _descriptor(b"# Extent", b'CreateType="vmfs"\n# Extent'), "twice"),
    "vmdk unclean": ("vmdk-sparse", poke(72, "<B", 1), "closed cleanly"),
    "vmdk 8 EiB": ("vmdk-sparse", poke(12, "<Q", 1 << 54), "more than any volume"),
    "vmdk grain": ("vmdk-sparse", poke(20, "<Q", 3), "grains have 3"),
    "vmdk huge grain tables": ("vmdk-sparse", poke(44, "<I", 1 << 30), "grain tables"),
    "vmdk directory beyond the end": ("vmdk-sparse", poke(56, "<Q", 1 << 40), "truncated"),
    "vmdk version": ("vmdk-sparse", poke(4, "<I", 9), "No descriptor found"),
    "vhd differencing": ("vhd-dynamic", _vhd_kind(4), "differencing"),
    "vhd unknown type": ("vhd-dynamic", _vhd_kind(9), "disk type 9"),
    "vhd checksum": ("vhd-dynamic", poke(48, ">Q", 1 << 60), "contradict|checksum"),
    "vhd block size": ("vhd-dynamic", poke(512 + 32, ">I", 77), "blocks have 77"),
    "vhd endless table": ("vhd-dynamic", poke(512 + 28, ">I", 0xFFFFFFFF), "block table"),
    "vhd block beyond the end": ("vhd-dynamic", poke(1536, ">I", 0x7FFFFFFF), "truncated"),
    "vhdx log": ("vhdx", _vhdx_log, "log"),
    "vhdx parent": ("vhdx", _vhdx_parent, "differencing"),
    "vdi differencing": ("vdi", poke(0x4C, "<I", 4), "differencing"),
    "vdi parent": ("vdi", poke(0x1B8, "<Q", 1), "differencing"),
    "vdi version": ("vdi", poke(0x44, "<I", 0x00020000), "version"),
    "vdi 8 EiB": ("vdi", poke(0x170, "<Q", 1 << 62), "more than any volume"),
    "vdi blocks": ("vdi", poke(0x180, "<I", 0xFFFFFFFF), "block table"),
    "vdi block size": ("vdi", poke(0x178, "<I", 512), "blocks"),
    "vdi table beyond the end": ("vdi", poke(0x154, "<I", 0xFFFFFE00), "truncated"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused(images: dict[str, Path], tmp_path: Path, name: str) -> None:
    kind, change, why = HOSTILE[name]
    data = bytearray(images[kind].read_bytes())
    change(data)
    path = tmp_path / "hostile"
    path.write_bytes(data)
    with pytest.raises(ImageUnacceptable, match=why) as refused:
        inspect(path, KINDS[kind][0], max_virtual_size=10 * GiB)
    assert refused.value.message.endswith(".") or refused.value.message.endswith("GiB.")
    with pytest.raises(ImageUnacceptable, match="claims to be"):
        inspect(path, "raw")


def test_without_a_volume_size_an_absurd_disk_is_refused(images: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(images["vdi"].read_bytes())
    struct.pack_into("<Q", data, 0x170, 1 << 62)
    (tmp_path / "bomb").write_bytes(data)
    with pytest.raises(ImageUnacceptable, match="more than any volume"):
        inspect(tmp_path / "bomb", "vdi")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "-u", "1M"), "backing"),
        (("-f", "qcow2", "-b", 'json:{"driver":"file","filename":"/etc/passwd"}', "-F", "raw", "-u", "1M"), "backing"),
        (("-f", "qcow2", "-o", "extended_l2=on", "1M"), "unknown_features|extended"),
        (("-f", "vmdk", "-o", "subformat=monolithicFlat", "1M"), "claims to be|descriptor"),
        (("-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "1M"), "claims to be|descriptor"),
    ],
)
def test_what_qemu_makes_but_nobody_may_bring(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    path = image_files.create(tmp_path / "image", *arguments)
    with pytest.raises(ImageUnacceptable, match=why):
        inspect(path, arguments[1])


def test_encrypted_qcow2_is_refused(tmp_path: Path) -> None:
    # not luks: for that qemu-img measures the processor, and gives up on a machine that is busy
    secret = ("--object", "secret,id=s,data=abc", "-f", "qcow2", "-o", "encrypt.format=aes,encrypt.key-secret=s")
    path = image_files.create(tmp_path / "image", *secret, "1M")
    with pytest.raises(ImageUnacceptable, match="encrypted"):
        inspect(path, "qcow2")


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_text_descriptor_is_refused(tmp_path: Path, claim: str) -> None:
    path = tmp_path / "descriptor"
    path.write_text('# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/passwd" 0\n')
    with pytest.raises(ImageUnacceptable):
        inspect(path, claim)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_file_that_is_two_things_is_refused(images: dict[str, Path], tmp_path: Path, claim: str) -> None:
    both = bytearray(GRUB_ISO.read_bytes())
    both[:512] = images["qcow2"].read_bytes()[:512]
    (tmp_path / "both").write_bytes(both)
    with pytest.raises(ImageUnacceptable):
        inspect(tmp_path / "both", claim)


def test_a_qcow2_with_the_end_of_a_fixed_vhd_is_refused(images: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "both").write_bytes(images["qcow2"].read_bytes() + images["vhd-fixed"].read_bytes()[-512:])
    with pytest.raises(ImageUnacceptable, match="qcow2"):
        inspect(tmp_path / "both", "vhd")


def test_only_allowed_vmdk_types_pass(images: dict[str, Path]) -> None:
    assert inspect(images["vmdk-stream"], "vmdk", vmdk_allowed_types=("streamOptimized",)).format == "vmdk"
    with pytest.raises(ImageUnacceptable, match="accepted are streamOptimized"):
        inspect(images["vmdk-sparse"], "vmdk", vmdk_allowed_types=("streamOptimized",))
    with pytest.raises(ImageUnacceptable, match="accepted are none"):
        inspect(images["vmdk-sparse"], "vmdk", vmdk_allowed_types=())


def test_a_table_that_would_fill_the_memory_is_refused(images: dict[str, Path], tmp_path: Path) -> None:
    """64 TiB in clusters of 512 bytes: the file may really hold the L1 table, qemu would not read it either."""
    data = bytearray(images["qcow2-small-clusters"].read_bytes())
    struct.pack_into(">Q", data, 24, 1 << 46)
    struct.pack_into(">I", data, 36, 1 << 31)
    path = tmp_path / "bomb"
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(1 << 36)
    with pytest.raises(ImageUnacceptable, match="too many"):
        inspect(path, "qcow2")


def test_a_symbolic_link_is_not_followed(images: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(images["raw"])
    with pytest.raises(OSError, match="symbolic"):
        inspect(tmp_path / "link", "raw")


@pytest.mark.parametrize("head", [b"", b"x", b"some text\n" * 100 + b"\xff\0" * 4000, b"text only " * 900])
def test_odd_beginnings_of_bytes_are_bytes(head: bytes) -> None:
    inspect_head(head, "raw")


STRUCTURED = [kind for kind in KINDS if kind not in {"raw", "vhd-fixed", "vhdx-fixed", "vdi-static"}]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    kind=st.sampled_from(STRUCTURED),
    changes=st.lists(st.tuples(st.integers(0, 4096), st.binary(min_size=1, max_size=16)), min_size=1, max_size=6),
    length=st.integers(0, 1 << 24),
)
def test_no_header_breaks_the_gate(
    images: dict[str, Path], tmp_path: Path, kind: str, changes: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(images[kind].read_bytes()[:length])
    for offset, change in changes:
        # half of the places lie in the table of a vhdx or the footer of a vhd
        at = offset if offset < 2048 else max(0, len(data) - offset + 2048) if kind != "vhdx" else (194 << 10) + offset
        data[at : at + len(change)] = change
    path = tmp_path / "mutated"
    path.write_bytes(data)
    with contextlib.suppress(ImageUnacceptable):
        inspect(path, KINDS[kind][0], max_virtual_size=1 << 40)
