"""The header gate: is an image what it claims to be, and harmless? Nothing opens an image before it has passed.

Two opinions count. The format inspector of oslo.utils, which OpenStack's services share, looks at the bytes first and
says what they are; then the format's own file in `formats/` holds every limit that the inspector does not. The format
found must be the one claimed: a file that is two things at once, or another thing than said, is refused.
"""

from types import ModuleType
from typing import IO, cast

import msgspec
from oslo_utils.imageutils import format_inspector

from breezeblock.errors import ImageUnacceptable
from breezeblock.images.content import HEAD_SIZE, ImageContent
from breezeblock.images.formats import qcow2, vdi, vhd, vhdx, vmdk
from breezeblock.images.formats.file import ImageFile, Rules
from breezeblock.images.formats.layout import Layout

QEMU_NAMES = {
    "raw": "raw",
    "iso": "raw",
    "ami": "raw",
    "ari": "raw",
    "aki": "raw",
    "qcow2": "qcow2",
    "vhd": "vpc",
    "vpc": "vpc",
    "vhdx": "vhdx",
    "vmdk": "vmdk",
    "vdi": "vdi",
}
"""Glance's disk formats that are accepted -> the names that qemu-img knows them by."""

_PIECE = 1 << 20
_OSLO_NAMES = {"vpc": "vhd"}
_PLAIN = ({"raw"}, {"gpt"}, {"luks"}, {"iso"}, {"gpt", "iso"})
"""What a disk that is taken as bytes may look like; `gpt` is oslo's name for any partition table."""

_FORMATS: dict[str, ModuleType] = {"qcow2": qcow2, "vpc": vhd, "vhdx": vhdx, "vmdk": vmdk, "vdi": vdi}
_MAGICS = {
    "qcow2": (0, qcow2.MAGIC),
    "vmdk": (0, vmdk.MAGIC),
    "vmdk (old)": (0, b"COWD"),
    "vmdk descriptor": (0, b"# Disk DescriptorFile"),
    "vhd": (0, vhd.COOKIE),
    "vhdx": (0, vhdx.MAGIC),
    "vdi": (0x40, vdi.SIGNATURE.to_bytes(4, "little")),
    "qed": (0, b"QED\0"),
}


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an image that passed: `format` by qemu's name, sizes in bytes."""

    format: str
    virtual_size: int
    file_size: int


def qemu_format(disk_format: str | None) -> str:
    """qemu's name for one of Glance's disk formats. Raises `ImageUnacceptable` for one that no volume is made of."""
    name = QEMU_NAMES.get(disk_format or "")
    if name is None:
        raise ImageUnacceptable(
            f"The disk format {disk_format or 'of the image is not set and'} cannot be made a volume of; "
            f"accepted are {', '.join(sorted(QEMU_NAMES))}."
        )
    return name


def inspect(
    content: ImageContent,
    claimed_format: str,
    *,
    max_virtual_size: int | None = None,
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse"),
) -> ImageFacts:
    """Look at a whole image.

    Raises:
        ImageUnacceptable: with what is wrong and what to do.
    """
    name = qemu_format(claimed_format)
    rules = Rules(max_virtual_size=max_virtual_size, vmdk_allowed_types=tuple(vmdk_allowed_types))
    image = ImageFile(content, claimed_format)
    _check_detected(image, claimed_format)
    if name == "raw":
        image.check_virtual_size(image.size, rules)
        virtual_size = image.size
    else:
        virtual_size = int(_FORMATS[name].examine(image, rules))
    return ImageFacts(format=name, virtual_size=virtual_size, file_size=image.size)


def layout(content: ImageContent, facts: ImageFacts) -> Layout:
    """Where the parts of the disk lie in an image that passed `inspect`, sorted. Raises `Scattered`."""
    if facts.format == "raw":
        found = Layout(facts.virtual_size)
        found.add(0, content.size, 0, content.size)
    else:
        found = _FORMATS[facts.format].layout(ImageFile(content, facts.format))
    found.sort()
    return found


def inspect_head(head: bytes, claimed_format: str) -> None:
    """Look at the beginning (`HEAD_SIZE` bytes or all) of an image that is taken as bytes: raw, iso, ami, ari, aki.

    For a stream whose bytes are written as they come. Raises `ImageUnacceptable` if it is anything else.
    """
    if qemu_format(claimed_format) != "raw":
        raise ImageUnacceptable(f"A {claimed_format} image cannot be judged by its beginning alone.")
    _check_plain(head, _detect([head]), claimed_format)


def _check_detected(image: ImageFile, claimed_format: str) -> None:
    name = qemu_format(claimed_format)
    head = image.read(0, min(HEAD_SIZE, image.size))
    inspectors = _detect(_pieces(image))
    if name == "raw":
        _check_plain(head, inspectors, claimed_format)
        return
    found = {str(inspector) for inspector in inspectors}
    if name == "vpc" and found in ({"raw"}, {"gpt"}) and vhd.is_fixed(image):
        # a fixed disk begins with its content and is told by its end alone, which the inspector does not look at
        if _begins_as(head) is not None:
            raise _mismatch(claimed_format, {str(_begins_as(head)), "vhd"})
        return
    expected = _OSLO_NAMES.get(name, name)
    if found != {expected}:
        raise _mismatch(claimed_format, found)
    try:
        for inspector in inspectors:
            inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        why = "; ".join(f"{check}: {failure}" for check, failure in error.failures.items())
        raise ImageUnacceptable(
            f"The {claimed_format} image is refused: {why}. Convert it into a single plain file with qemu-img convert."
        ) from error
    except Exception as error:
        # the inspector is made for well-meant files and trips over others in its own ways
        raise image.refuse(f"it is broken or truncated ({error}). Upload it again.") from error


def _check_plain(head: bytes, inspectors: list[format_inspector.FileInspector], claimed_format: str) -> None:
    found = {str(inspector) for inspector in inspectors}
    if hidden := _begins_as(head):
        found = found | {hidden}
    if found not in _PLAIN:
        raise _mismatch(claimed_format, found)
    if claimed_format == "iso" and "iso" not in found:
        raise _mismatch(claimed_format, found)


def _begins_as(head: bytes) -> str | None:
    """The format whose mark stands at its place, even if the rest is too broken for the inspector."""
    for name, (offset, magic) in _MAGICS.items():
        if head[offset : offset + len(magic)] == magic:
            return name
    return None


def _mismatch(claimed_format: str, found: set[str]) -> ImageUnacceptable:
    names = " and ".join(sorted(found))
    return ImageUnacceptable(
        f"The image claims to be {claimed_format} but looks like {names}. "
        "Set the disk_format to what the file really is, or convert the file."
    )


def _pieces(image: ImageFile) -> list[bytes]:
    """The beginning and the end of the file: no format keeps what the inspector looks at elsewhere."""
    head = min(HEAD_SIZE, image.size)
    pieces = [image.read(at, min(_PIECE, head - at)) for at in range(0, head, _PIECE)]
    tail = max(head, image.size - _PIECE)
    return [*pieces, image.read(tail, image.size - tail)] if tail < image.size else pieces


def _detect(pieces: list[bytes]) -> list[format_inspector.FileInspector]:
    """The inspectors that recognize the image; that of raw alone where none does."""
    wrapper = _watched(pieces, None)
    try:
        return wrapper.formats or []
    except AttributeError:
        # text that goes on as something else leaves the vmdk inspector without an opinion of a descriptor
        others = [name for name in format_inspector.ALL_FORMATS if name != "vmdk"]
        return _watched(pieces, others).formats or []


def _watched(pieces: list[bytes], formats: list[str] | None) -> format_inspector.InspectWrapper:
    # an iterator is all it needs of a file
    wrapper = format_inspector.InspectWrapper(cast(IO[bytes], iter(pieces)), allowed_formats=formats)
    for _ in wrapper:
        pass
    return wrapper
