"""vmdk, the sparse kinds that are one file: "Virtual Disk Format 5.0" of VMware, and qemu's block/vmdk.c."""

import re
from array import array
from typing import Any

from breezeblock.images.formats.file import ImageFile, Rules
from breezeblock.images.formats.layout import Layout

MAGIC = b"KDMV"
_SECTOR = 512
_AT_END = 0xFFFFFFFFFFFFFFFF
_HEADER = "<4sIIQQQQIQQQB"
_DESCRIPTOR_MAX = 1 << 20
_COMPRESSED = 1 << 16
_FIELD = re.compile(r'^\s*([A-Za-z.]+)\s*=\s*"?([^"]*)"?\s*$')


def examine(image: ImageFile, rules: Rules) -> int:
    """The virtual size of a vmdk of an allowed type that refers to no other file."""
    header = image.unpack(_HEADER, 0)
    magic, version, _, capacity, grain, descriptor, descriptor_sectors = header[:7]
    if magic != MAGIC:
        raise image.refuse("it is a text descriptor or an extent without one; only single sparse files are accepted.")
    if version not in {1, 2, 3}:
        raise image.refuse(f"its version is {version}, only 1 to 3 are known.")
    if header[11]:
        raise image.refuse("it was not closed cleanly.")
    if descriptor * _SECTOR + descriptor_sectors * _SECTOR > image.size:
        raise image.truncated()
    if not 0 < descriptor_sectors * _SECTOR <= _DESCRIPTOR_MAX:
        raise image.refuse("it has no descriptor.")
    _examine_descriptor(image, image.read(descriptor * _SECTOR, descriptor_sectors * _SECTOR), rules)
    image.check_virtual_size(capacity * _SECTOR, rules)
    if grain & (grain - 1) or not 8 <= grain <= (64 << 20) // _SECTOR:
        raise image.refuse(f"its grains have {grain} sectors.")
    if header[9] == _AT_END:
        header = _footer(image, header)
    _examine_grains(image, header)
    return int(capacity * _SECTOR)


def layout(image: ImageFile) -> Layout:
    """The grains of a disk that passed `examine`."""
    header = image.unpack(_HEADER, 0)
    if header[9] == _AT_END:
        header = _footer(image, header)
    grain, packed = header[4] * _SECTOR, bool(header[2] & _COMPRESSED)
    # deflate makes what it cannot pack a little longer; in front of it are twelve bytes
    longest = grain + grain // 1000 + 64 + 12 if packed else grain
    found = Layout(header[3] * _SECTOR, "grain")
    for number, table in enumerate(_tables(image, header)):
        if not table:
            continue
        sectors = enumerate(image.table("I", table * _SECTOR, header[7]), number * header[7])
        found.extend(
            (start, min(longest, image.size - start), index * grain, grain, packed)
            for index, sector in sectors
            if (start := sector * _SECTOR) > _SECTOR
        )
    return found


def _tables(image: ImageFile, header: tuple[Any, ...]) -> "array[int]":
    """The grain directory: the sector of each grain table, 0 for one that is not there."""
    return image.table("I", header[9] * _SECTOR, -(-header[3] // (header[4] * header[7])))


def _examine_descriptor(image: ImageFile, data: bytes, rules: Rules) -> None:
    try:
        text = data.split(b"\0", 1)[0].decode("ascii")
    except UnicodeDecodeError:
        raise image.refuse("its descriptor is not text.") from None
    fields: dict[str, str] = {}
    extents = []
    for line in text.splitlines():
        if match := _FIELD.match(line):
            name = match[1].lower()
            if name in fields and not name.startswith("ddb."):
                raise image.refuse(f"its descriptor says {match[1]} twice.")
            fields[name] = match[2].strip()
        elif line.split(" ", 1)[0].upper() in {"RW", "RDONLY", "NOACCESS"}:
            extents.append(line)
    if "parentfilenamehint" in fields or fields.get("parentcid", "").lower() != "ffffffff":
        raise image.refuse("it is a difference to a parent disk; flatten it with qemu-img convert.")
    allowed = {kind.lower(): kind for kind in rules.vmdk_allowed_types}
    kind = fields.get("createtype", "")
    if kind.lower() not in allowed:
        raise image.refuse(
            f"its createType is {kind[:40] or 'not given'}; accepted are {', '.join(allowed.values()) or 'none'}. "
            "Convert it with qemu-img convert -O vmdk -o subformat=streamOptimized."
        )
    if len(extents) != 1 or not re.fullmatch(r'RW \d+ SPARSE "[^"/\\]*"\s*', extents[0]):
        raise image.refuse("its descriptor names other extents than the file itself.")


def _footer(image: ImageFile, header: tuple[Any, ...]) -> tuple[Any, ...]:
    """A stream's real header stands before its end-of-stream marker; it must repeat the first one."""
    if image.size < 4 * _SECTOR:
        raise image.truncated()
    footer = image.unpack(_HEADER, image.size - 2 * _SECTOR)
    _, _, kind = image.unpack("<QII", image.size - 3 * _SECTOR)
    if footer[0] != MAGIC or kind != 3 or image.read(image.size - _SECTOR, _SECTOR) != bytes(_SECTOR):
        raise image.truncated()
    # all but the table's place (9) and the redundant one (8) must agree
    if any(footer[i] != header[i] for i in (1, 3, 4, 5, 6, 7)) or footer[9] == _AT_END:
        raise image.refuse("its beginning and its end contradict each other.")
    return footer


def _examine_grains(image: ImageFile, header: tuple[Any, ...]) -> None:
    per_table = header[7]
    if not 1 <= per_table <= 512:
        raise image.refuse(f"its grain tables have {per_table} entries.")
    seen: set[int] = set()
    last = 0
    for table in _tables(image, header):
        if not table:
            continue
        if table in seen:
            raise image.refuse("two of its grain tables lie at the same place.")
        seen.add(table)
        # an entry of 0 is a hole, 1 a grain of zeros
        last = max(last, max(image.table("I", table * _SECTOR, per_table)) * _SECTOR)
    if last <= _SECTOR:
        return
    if header[2] & _COMPRESSED:
        last += 12 + image.unpack("<QI", last)[1]
    if last > image.size or (last == image.size and not header[2] & _COMPRESSED):
        raise image.truncated()
