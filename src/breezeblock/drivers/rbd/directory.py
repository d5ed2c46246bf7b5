"""What the images of a pool are called, two maps between names and ids, and what they say of themselves: all that the
OSD keeps for librbd (cls_rbd) and can be asked for, or told, in one call.

They are asked and changed as librbd does it, but without opening the image, which costs librbd ten reads, a watch and
a lock for what is one change here. Texts go over the wire as their length, in four bytes, and their bytes.
"""

import contextlib
import errno
from typing import Any

DIRECTORY = "rbd_directory"
NO_SNAPSHOT = (2**64 - 2).to_bytes(8, "little")
"""CEPH_NOSNAP: the image itself, and none of its snapshots."""
MOST_BYTES = 4096
"""Of an answer."""


class Directory:
    """The names of a pool's images of the second format."""

    def __init__(self, rados: Any, io: Any) -> None:
        self._rados = rados
        self._io = io

    def id_of(self, name: str) -> str | None:
        """The id of the image that has a name, also where there is not all of that image; None where it is free."""
        return self._asked("dir_get_id", name)

    def get_id(self, name: str) -> str:
        """As `id_of`. Raises `FileNotFoundError` where the name is free."""
        image_id = self.id_of(name)
        if image_id is None:
            raise FileNotFoundError(errno.ENOENT, f"There is no image {name}")
        return image_id

    def name_of(self, image_id: str) -> str | None:
        """The name of an image; None where there is no such image any more."""
        return self._asked("dir_get_name", image_id)

    def rename(self, old: str, new: str) -> None:
        """Give an image another name: write the new one, change the maps, remove the old one; nobody has it open under it.

        Raises `FileNotFoundError` where there is no image `old`, `ObjectExists` where there is one that is called `new`.
        """
        image_id = self.get_id(old)
        self._claim(new, image_id)
        self._io.execute(DIRECTORY, "rbd", "dir_rename_image", _text(old) + _text(new) + _text(image_id))
        self.forget(old)

    def forget(self, name: str) -> None:
        """Remove what leads from a name to an image that has another one, or to none; gone is done."""
        with contextlib.suppress(self._rados.ObjectNotFound):  # whoever removed half of the image removed this first
            self._io.remove_object(_place(name))

    def note(self, name: str, key: str, value: str) -> None:
        """Write into the metadata of an image. Raises `FileNotFoundError`."""
        image_id = self.get_id(name)
        told = (1).to_bytes(4, "little") + _text(key) + _text(value)
        self._io.execute(f"rbd_header.{image_id}", "rbd", "metadata_set", told)

    def parent_of(self, image_id: str) -> tuple[int, str] | None:
        """What an image is a clone of: the number of its pool, and its id. Raises `ObjectNotFound`."""
        _, told = self._io.execute(f"rbd_header.{image_id}", "rbd", "get_parent", NO_SNAPSHOT, MOST_BYTES)
        pool = int.from_bytes(told[:8], "little", signed=True)
        return None if pool < 0 else (pool, _read(told[8:]))

    def _claim(self, name: str, image_id: str) -> None:
        with self._rados.WriteOpCtx() as operation:
            operation.new(self._rados.LIBRADOS_CREATE_EXCLUSIVE)
            operation.write_full(_text(image_id))
            try:
                self._io.operate_write_op(operation, _place(name))
            except self._rados.ObjectExists:
                if self.id_of(name) is not None:
                    raise
                self._io.write_full(_place(name), _text(image_id))  # of whoever died before the maps were changed

    def _asked(self, method: str, key: str) -> str | None:
        try:
            _, told = self._io.execute(DIRECTORY, "rbd", method, _text(key), MOST_BYTES)
        except self._rados.ObjectNotFound:
            return None
        return _read(told)


def _place(name: str) -> str:
    return f"rbd_id.{name}"


def _read(told: bytes) -> str:
    return bytes(told[4 : 4 + int.from_bytes(told[:4], "little")]).decode()


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(4, "little") + data
