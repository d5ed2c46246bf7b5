"""vhdx: MS-VHDX, https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-vhdx/"""

import uuid
from collections.abc import Iterator

import msgspec

from breezeblock.images.formats.file import ImageFile, Rules
from breezeblock.images.formats.layout import Layout

MAGIC = b"vhdxfile"
_HEADERS = (64 << 10, 128 << 10)
_REGIONS = 192 << 10
_MiB = 1 << 20
_BAT = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08").bytes_le
_METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le
_DISK_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8").bytes_le
_SECTOR_SIZE = uuid.UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F").bytes_le
_PARENT_LOCATOR = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C").bytes_le
_HAS_PARENT = 2
_PRESENT = {6, 7}


def examine(image: ImageFile, rules: Rules) -> int:
    """The virtual size of a disk without a parent and with nothing in its log."""
    if image.read(0, 8) != MAGIC:
        raise image.refuse("it does not begin as such.")
    _examine_log(image)
    geometry = _geometry(image)
    image.check_virtual_size(geometry.size, rules)
    for _, position in _blocks(image, geometry):
        if position < _MiB or position + geometry.block_size > image.size:
            raise image.truncated()
    return geometry.size


def layout(image: ImageFile) -> Layout:
    """The blocks of a disk that passed `examine`."""
    geometry = _geometry(image)
    found = Layout(geometry.size)
    for number, position in _blocks(image, geometry):
        found.add(position, geometry.block_size, number * geometry.block_size, geometry.block_size)
    return found


class _Geometry(msgspec.Struct, frozen=True):
    """The block table's place and length, the disk's size, all in bytes."""

    bat: int
    bat_length: int
    size: int
    block_size: int
    sector: int


def _geometry(image: ImageFile) -> _Geometry:
    regions = _entries(image, _REGIONS, b"regi", "<4sII", 16, 2)
    if _METADATA not in regions or _BAT not in regions:
        raise image.refuse("its region table is incomplete.")
    for offset, length in regions.values():
        if offset < _MiB or offset % _MiB or length % _MiB or offset + length > image.size:
            raise image.truncated()
    metadata = regions[_METADATA][0]
    items = _entries(image, metadata, b"metadata", "<8sHH", 32, 2)
    if _PARENT_LOCATOR in items:
        raise image.refuse("it is a differencing disk and needs its parent; merge it first.")
    if not {_PARAMETERS, _DISK_SIZE, _SECTOR_SIZE} <= items.keys():
        raise image.refuse("its metadata is incomplete.")
    block_size, flags = image.unpack("<II", metadata + items[_PARAMETERS][0])
    (size,) = image.unpack("<Q", metadata + items[_DISK_SIZE][0])
    (sector,) = image.unpack("<I", metadata + items[_SECTOR_SIZE][0])
    if flags & _HAS_PARENT:
        raise image.refuse("it is a differencing disk and needs its parent; merge it first.")
    if block_size & (block_size - 1) or not _MiB <= block_size <= 256 * _MiB:
        raise image.refuse(f"its blocks have {block_size} bytes.")
    if sector not in {512, 4096} or size % sector:
        raise image.refuse(f"its sectors have {sector} bytes and its disk {size}.")
    return _Geometry(*regions[_BAT], size, block_size, sector)


def _examine_log(image: ImageFile) -> None:
    """The header of the higher sequence number counts; a log in use would have to be replayed into the file."""
    found = [image.unpack("<4sIQ16s16s16s", offset) for offset in _HEADERS]
    valid = [header for header in found if header[0] == b"head"]
    if not valid:
        raise image.refuse("it has no header.")
    if any(current[5] != bytes(16) for current in valid if current[2] == max(header[2] for header in valid)):
        raise image.refuse("it was not closed cleanly and its log has to be replayed; open it once where it was made.")


def _entries(
    image: ImageFile, table: int, signature: bytes, layout: str, first: int, skip: int
) -> dict[bytes, tuple[int, int]]:
    """The region table or the metadata table: GUID -> (offset, length), both as the entry says."""
    found = image.unpack(layout, table)
    count = found[skip]
    if found[0] != signature:
        raise image.refuse("one of its tables does not begin as such.")
    if count > 2047:
        raise image.refuse(f"one of its tables claims to have {count} entries.")
    entry = "<16sQI" if signature == b"regi" else "<16sII"
    found_entries: dict[bytes, tuple[int, int]] = {}
    for number in range(count):
        guid, offset, length = image.unpack(entry, table + first + number * 32)
        if guid in found_entries:
            raise image.refuse("one of its tables has an entry twice.")
        found_entries[guid] = (offset, length)
    return found_entries


def _blocks(image: ImageFile, geometry: _Geometry) -> Iterator[tuple[int, int]]:
    """Number and place in the file of each block that has data."""
    blocks = -(-geometry.size // geometry.block_size)
    ratio = (1 << 23) * geometry.sector // geometry.block_size
    entries = blocks + (blocks - 1) // ratio
    if entries * 8 > geometry.bat_length:
        raise image.refuse("its block table is too short for its size.")
    for index, entry in enumerate(image.table("Q", geometry.bat, entries)):
        # each ratio-th entry is that of a sector bitmap, which only a differencing disk uses
        if (index + 1) % (ratio + 1) and entry & 7 in _PRESENT:
            yield index - index // (ratio + 1), (entry >> 20) << 20
