"""vhd, which qemu calls vpc: the "Virtual Hard Disk Image Format Specification" of Microsoft, and qemu's block/vpc.c."""

import struct

import msgspec

from breezeblock.images.formats.file import ImageFile, Rules
from breezeblock.images.formats.layout import Layout

COOKIE = b"conectix"
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_CHS_MAX = 65535 * 16 * 255
_EXACT_CREATORS = {b"win ", b"qem2", b"d2v ", b"tap\0", b"vs  ", b"wa\0\0"}
_UNUSED = 0xFFFFFFFF


class _Footer(msgspec.Struct, frozen=True):
    creator: bytes
    table: int
    current_size: int
    geometry: tuple[int, int, int]
    kind: int

    @property
    def virtual_size(self) -> int:
        """As qemu decides: by geometry, unless the writer is known to mean the size."""
        cylinders, heads, sectors = self.geometry
        chs = cylinders * heads * sectors
        if self.creator in _EXACT_CREATORS or chs == _CHS_MAX:
            return self.current_size
        return chs * 512


def is_fixed(image: ImageFile) -> bool:
    """Whether the file ends as a fixed disk: that has its only footer at the end, and the disk's content before."""
    if image.size < 1024:
        return False
    data = image.read(image.size - 512, 512)
    return data.startswith(COOKIE) and data[60:64] == struct.pack(">I", _FIXED)


def examine(image: ImageFile, rules: Rules) -> int:
    """The virtual size of a fixed or dynamic disk that is not a difference to another one."""
    if image.size < 1024:
        raise image.truncated()
    tail = image.read(image.size - 512, 512)
    head = image.read(0, 512)
    if not tail.startswith(COOKIE):
        raise image.truncated()
    footer = _parse(image, tail)
    if footer.kind == _DIFFERENCING:
        raise image.refuse("it is a differencing disk and needs its parent; merge it first.")
    if footer.kind not in {_FIXED, _DYNAMIC}:
        raise image.refuse(f"its disk type {footer.kind} is not known.")
    image.check_virtual_size(footer.virtual_size, rules)
    if footer.kind == _FIXED:
        if head.startswith(COOKIE):
            raise image.refuse("its beginning and its end contradict each other.")
        if footer.virtual_size > image.size - 512:
            raise image.truncated()
        return footer.virtual_size
    if not head.startswith(COOKIE) or _parse(image, head) != footer:
        raise image.refuse("its beginning and its end contradict each other.")
    _examine_blocks(image, footer)
    return footer.virtual_size


def layout(image: ImageFile) -> Layout:
    """The blocks of a disk that passed `examine`. As with qemu, a block that is there is all data: its bitmap of
    sectors only matters to a differencing disk."""
    footer = _parse(image, image.read(image.size - 512, 512))
    found = Layout(footer.virtual_size)
    if footer.kind == _FIXED:
        found.add(0, footer.virtual_size, 0, footer.virtual_size)
        return found
    _, _, table, _, entries, block_size = image.unpack(">8sQQIII", footer.table)
    for number, entry in enumerate(image.table("I", table, entries, big_endian=True)):
        if entry != _UNUSED:
            found.add(entry * 512 + _bitmap_size(block_size), block_size, number * block_size, block_size)
    return found


def _bitmap_size(block_size: int) -> int:
    """Bytes before each block that say which of its sectors are used."""
    return -(-(block_size // 512 // 8) // 512) * 512


def _parse(image: ImageFile, data: bytes) -> _Footer:
    (checksum,) = struct.unpack(">I", data[64:68])
    if checksum != ~(sum(data[:64]) + sum(data[68:])) & 0xFFFFFFFF:
        raise image.refuse("the checksum of its footer is wrong. Upload it again.")
    (table,) = struct.unpack(">Q", data[16:24])
    current_size, cylinders, heads, sectors, kind = struct.unpack(">QHBBI", data[48:64])
    return _Footer(data[28:32], table, current_size, (cylinders, heads, sectors), kind)


def _examine_blocks(image: ImageFile, footer: _Footer) -> None:
    cookie, _, table, _, entries, block_size = image.unpack(">8sQQIII", footer.table)
    if cookie != b"cxsparse":
        raise image.refuse("it has no header of a dynamic disk.")
    if block_size & (block_size - 1) or not 4096 <= block_size <= 256 << 20:
        raise image.refuse(f"its blocks have {block_size} bytes.")
    needed = -(-footer.virtual_size // block_size)
    # writers round the geometry, so a few entries more are usual
    if not needed <= entries <= needed + 1024:
        raise image.refuse(f"its block table has {entries} entries, which does not go with its size.")
    used = (entry for entry in image.table("I", table, entries, big_endian=True) if entry != _UNUSED)
    last = max(used, default=None)
    if last is not None and last * 512 + _bitmap_size(block_size) + block_size > image.size:
        raise image.truncated()
