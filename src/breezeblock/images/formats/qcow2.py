"""qcow2: https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.txt"""

from array import array
from collections.abc import Iterator

from breezeblock.images.formats.file import ImageFile, Rules
from breezeblock.images.formats.layout import Layout

MAGIC = b"QFI\xfb"
_HEADER = ">4sIQIIQIIQQIIQ"
_COMPRESSION = 1 << 3
_INCOMPATIBLE = {
    1 << 0: "it is marked dirty; run qemu-img check -r all on it",
    1 << 1: "it is marked corrupt; run qemu-img check on it",
    1 << 2: "it has an external data file; convert it with qemu-img convert -O qcow2",
    1 << 4: "it has extended L2 entries; convert it with qemu-img convert -O qcow2",
}
_EXTENSIONS = {0x44415441: "names an external data file", 0x0537BE77: "is encrypted"}
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_READS_AS_ZERO = 1


def examine(image: ImageFile, rules: Rules) -> int:
    """The virtual size of a self-contained, undamaged qcow2 image without snapshots and encryption."""
    (
        magic,
        version,
        backing_offset,
        _,
        bits,
        size,
        crypt,
        l1_size,
        l1_offset,
        refcounts_offset,
        refcount_clusters,
        snapshots,
        _,
    ) = image.unpack(_HEADER, 0)
    if magic != MAGIC:
        raise image.refuse("it does not begin as such.")
    if version not in {2, 3}:
        raise image.refuse(f"its version is {version}, only 2 and 3 are known.")
    if backing_offset:
        raise image.refuse("it has a backing file; flatten it with qemu-img convert -O qcow2.")
    if not 9 <= bits <= 21:
        raise image.refuse(f"its clusters have 2^{bits} bytes; 2^9 to 2^21 is possible.")
    if crypt:
        raise image.refuse("it is encrypted; decrypt it with qemu-img convert.")
    if snapshots:
        raise image.refuse(f"it holds {snapshots} internal snapshots; drop them with qemu-img convert -O qcow2.")
    image.check_virtual_size(size, rules)
    cluster = 1 << bits
    if version == 3:
        _examine_version_3(image, cluster)
    if l1_size != -(-size // (cluster * (cluster // 8))):
        raise image.refuse(f"its L1 table has {l1_size} entries, which does not go with its size.")
    if l1_offset % cluster or refcounts_offset % cluster or not refcount_clusters:
        raise image.refuse("its tables do not lie where they may.")
    if refcounts_offset + refcount_clusters * cluster > image.size:
        raise image.truncated()
    _examine_clusters(image, bits, l1_offset, l1_size, size)
    return int(size)


def layout(image: ImageFile) -> Layout:
    """The clusters of an image that passed `examine`."""
    _, version, _, _, bits, size, _, l1_size, l1_offset, *_ = image.unpack(_HEADER, 0)
    zstd = version == 3 and bool(image.unpack(">Q", 72)[0] & _COMPRESSION)
    found = Layout(size, "zstd" if zstd else "deflate")
    cluster = 1 << bits
    for l1_index, l1_entry in enumerate(image.table("Q", l1_offset, l1_size, big_endian=True)):
        if table := l1_entry & _OFFSET:
            entries = image.table("Q", table, cluster // 8, big_endian=True)
            found.extend(_clusters(entries, bits, l1_index * (cluster // 8), image.size, version))
    return found


def _clusters(
    entries: "array[int]", bits: int, first: int, end_of_file: int, version: int
) -> Iterator[tuple[int, int, int, int, bool]]:
    """The parts that the entries of an L2 table are, the first of which is the disk's cluster number `first`."""
    cluster, shift = 1 << bits, 62 - (bits - 8)
    place, sectors = (1 << shift) - 1, (1 << (bits - 8)) - 1
    for number, entry in enumerate(entries, first):
        if not entry:
            continue
        if entry & _COMPRESSED:
            start = entry & place
            end = (start & ~511) + ((entry >> shift & sectors) + 1) * 512
            yield start, min(end, end_of_file) - start, number << bits, cluster, True
        elif (start := entry & _OFFSET) and not (version == 3 and entry & _READS_AS_ZERO):
            yield start, min(cluster, end_of_file - start), number << bits, cluster, False


def _examine_version_3(image: ImageFile, cluster: int) -> None:
    incompatible, _, _, refcount_order, length = image.unpack(">QQQII", 72)
    for bit, why in _INCOMPATIBLE.items():
        if incompatible & bit:
            raise image.refuse(f"{why}.")
    if incompatible & ~_COMPRESSION:
        raise image.refuse(f"it needs features that are not known ({incompatible:#x}).")
    if length < 104 or length % 8 or length > min(cluster, 4096):
        raise image.refuse(f"its header claims to have {length} bytes.")
    if refcount_order > 6:
        raise image.refuse(f"its reference counts have 2^{refcount_order} bits.")
    compression = image.read(104, 1)[0] if length > 104 else 0
    if compression > 1 or bool(compression) != bool(incompatible & _COMPRESSION):
        raise image.refuse(f"its compression type {compression} is not known.")
    at = length
    while at + 8 <= cluster:
        kind, size = image.unpack(">II", at)
        if kind == 0:
            return
        if kind in _EXTENSIONS:
            raise image.refuse(f"it {_EXTENSIONS[kind]}; convert it with qemu-img convert -O qcow2.")
        at += 8 + -(-size // 8) * 8
    if at > cluster:
        raise image.refuse("its header extensions are longer than its first cluster.")


def _examine_clusters(image: ImageFile, bits: int, l1_offset: int, l1_size: int, size: int) -> None:
    """Refuse tables or data beyond the end of the file, which qemu would read as zeros."""
    cluster = 1 << bits
    seen: set[int] = set()
    for l1_index, l1_entry in enumerate(image.table("Q", l1_offset, l1_size, big_endian=True)):
        l2_offset = l1_entry & _OFFSET
        if not l2_offset:
            continue
        if l2_offset % cluster or l2_offset in seen:
            raise image.refuse("its L2 tables overlap; run qemu-img check on it.")
        seen.add(l2_offset)
        # the last cluster of the disk may end before the cluster does, and the file with it
        last = (size - 1) // cluster - l1_index * (cluster // 8)
        _examine_l2(image, image.table("Q", l2_offset, cluster // 8, big_endian=True), bits, last)


def _examine_l2(image: ImageFile, table: "array[int]", bits: int, last: int) -> None:
    cluster, end_of_file = 1 << bits, image.size
    shift = 62 - (bits - 8)
    place, sectors = (1 << shift) - 1, (1 << (bits - 8)) - 1
    for index, entry in enumerate(table):
        if not entry:
            continue
        if entry & _COMPRESSED:
            # as far as the beginning of its last sector; the file may end within that
            start = (entry & place & ~511) + (entry >> shift & sectors) * 512
            if start >= end_of_file:
                raise image.truncated()
            continue
        start = entry & _OFFSET
        if start + cluster > end_of_file and start and (index != last or start >= end_of_file):
            raise image.truncated()
