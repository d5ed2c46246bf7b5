"""vdi of VirtualBox, as qemu's block/vdi.c describes it."""

from breezeblock.images.formats.file import ImageFile, Rules
from breezeblock.images.formats.layout import Layout

SIGNATURE = 0xBEDA107F
_BLOCK = 1 << 20
_DYNAMIC, _STATIC = 1, 2
_UNALLOCATED = 0xFFFFFFFE


def examine(image: ImageFile, rules: Rules) -> int:
    """The virtual size of a dynamic or static disk that has no parent."""
    signature, version, _, kind = image.unpack("<IIII", 0x40)
    bmap, data = image.unpack("<II", 0x154)
    sector, _, size, block_size, extra, blocks, _ = image.unpack("<IIQIIII", 0x168)
    if signature != SIGNATURE:
        raise image.refuse("it does not begin as such.")
    if version != 0x00010001:
        raise image.refuse(f"its version is {version >> 16}.{version & 0xFFFF}, only 1.1 is known.")
    if kind not in {_DYNAMIC, _STATIC} or image.read(0x1A8, 32) != bytes(32):
        raise image.refuse("it is a differencing disk and needs its parent; merge it first.")
    if sector != 512 or block_size != _BLOCK or extra:
        raise image.refuse(f"its sectors have {sector} bytes and its blocks {block_size}+{extra}.")
    image.check_virtual_size(size, rules)
    if blocks != -(-size // _BLOCK):
        raise image.refuse(f"its block table has {blocks} entries, which does not go with its size.")
    if bmap % 512 or data % 512:
        raise image.refuse("its tables do not lie where they may.")
    last = max((entry for entry in image.table("I", bmap, blocks) if entry < _UNALLOCATED), default=-1)
    if data + (last + 1) * _BLOCK > image.size:
        raise image.truncated()
    return int(size)


def layout(image: ImageFile) -> Layout:
    """The blocks of a disk that passed `examine`."""
    bmap, data = image.unpack("<II", 0x154)
    _, _, size, _, _, blocks, _ = image.unpack("<IIQIIII", 0x168)
    found = Layout(size)
    for number, entry in enumerate(image.table("I", bmap, blocks)):
        if entry < _UNALLOCATED:
            found.add(data + entry * _BLOCK, _BLOCK, number * _BLOCK, _BLOCK)
    return found
