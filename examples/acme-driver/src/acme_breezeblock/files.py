"""The storage: a directory in which each object is two files.

    volume-1.json        its record: the object is there when, and only when, this file is
    volume-1.5d3f9a01    its content, named by the record

What is new is written beside what is there, synced, and published by renaming its record over the old one. So a name shows
the old object or the new one, whatever moment the process dies at; content that no record names is remains.
"""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from breezeblock import killpoints
from breezeblock.drivers import copying
from breezeblock.drivers.contract import Extent
from breezeblock.errors import BackendNotFound, BackendOutOfSpace, DriverError, InvalidInput

NAME = re.compile(r"(volume|snapshot)-[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""No dot and no slash: no name leads elsewhere, or looks like a file of another one."""

COPY_BYTES = 64 << 20
"""Most bytes copied by one system call, so that a copy can be told of and stopped."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the storage knows of an object, beside its content."""

    file: str
    made_of: str
    """What it was filled with or copied from; a verb that is called again knows by this that it is done."""
    connected: tuple[str, ...] = ()


class Content:
    """An open file: a `BlockSource` to read from and a `BlockTarget` to fill."""

    kept: bytes | None = None

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.uri = str(path)
        self.size = os.fstat(fd).st_size

    def extents(self) -> Iterator[Extent]:
        """Runs of data and of holes, in order."""
        at = 0
        while at < self.size:
            data = self._seek(at, os.SEEK_DATA)
            if data > at:
                yield Extent(at, data - at, data=False)
            at = self._seek(data, os.SEEK_HOLE) if data < self.size else data
            if at > data:
                yield Extent(data, at - data, data=True)

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end."""
        pieces = []
        while length > 0 and (piece := os.pread(self.fd, length, offset)):
            pieces.append(piece)
            length, offset = length - len(piece), offset + len(piece)
        return b"".join(pieces)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`."""
        left = memoryview(data).cast("B")
        if offset + len(left) > self.size:
            raise DriverError(f"Byte {offset + len(left)} is beyond the end.")
        with errors_in_kinds():
            while left:
                written = os.pwrite(self.fd, left, offset)
                left, offset = left[written:], offset + written

    def keep(self, note: bytes) -> None:
        """A fill that is killed begins anew here, so there is nothing to be noted."""

    def copy_from(self, source: "Content") -> None:
        """Copy the data of `source`; its holes stay holes."""
        with errors_in_kinds():
            for extent in source.extents():
                at, end = extent.offset, extent.offset + extent.length
                while extent.data and at < end:
                    at += os.copy_file_range(source.fd, self.fd, min(end - at, COPY_BYTES), at, at)
                    copying.tell(at, self.size)

    def _seek(self, offset: int, whence: int) -> int:
        try:
            return os.lseek(self.fd, offset, whence)
        except OSError as error:
            if error.errno != errno.ENXIO:  # there is no data behind the offset
                raise
            return self.size


class Files:
    """The directory. Different objects may be worked on from several threads at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, name: str) -> Record | None:
        """The record of an object, or None. Raises `InvalidInput` for what cannot be a name."""
        try:
            return msgspec.json.decode(self._record(name).read_bytes(), type=Record)
        except FileNotFoundError:
            return None

    def get(self, name: str) -> Record:
        """The record of an object. Raises `BackendNotFound`."""
        record = self.find(name)
        if record is None:
            raise BackendNotFound(f"There is no {name}.")
        return record

    def path(self, record: Record) -> Path:
        """The file with an object's content."""
        return self.root / record.file

    @contextmanager
    def open(self, name: str) -> Iterator[Content]:
        """The content of an object, to be read. Raises `BackendNotFound`."""
        path = self.path(self.get(name))
        with errors_in_kinds():
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Content(fd, path)
        finally:
            os.close(fd)

    @contextmanager
    def building(self, name: str, made_of: str, size: int) -> Iterator[Content]:
        """Zeros to be filled: published when the block ends, gone when it raises."""
        record = Record(file=f"{name}.{secrets.token_hex(4)}", made_of=made_of)
        self.sweep(name)
        with errors_in_kinds():
            fd = os.open(self.path(record), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with errors_in_kinds():
                os.ftruncate(fd, size)
            yield Content(fd, self.path(record))
            with errors_in_kinds():
                os.fsync(fd)
            self.publish(name, record)
        except BaseException:
            if self.find(name) != record:
                self.path(record).unlink()
            raise
        finally:
            os.close(fd)
        self.sweep(name)

    def publish(self, name: str, record: Record) -> None:
        """Put a record in the place of the one before, by one act."""
        new = self._record(name).with_suffix(".new")
        with errors_in_kinds():
            with open(new, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(file.fileno())
            killpoints.reached("before_publish")
            new.rename(self._record(name))
            killpoints.reached("after_publish")
            self._sync()

    def grow(self, name: str, size: int) -> None:
        """Have an object be at least `size` bytes long."""
        with errors_in_kinds():
            fd = os.open(self.path(self.get(name)), os.O_RDWR | os.O_CLOEXEC)
            try:
                if size > os.fstat(fd).st_size:
                    os.ftruncate(fd, size)
                    os.fsync(fd)
            finally:
                os.close(fd)

    def remove(self, name: str) -> None:
        """Remove an object and all remains of it: the record first, for half removed is removed. Gone is done."""
        with errors_in_kinds():
            with suppress(FileNotFoundError):
                self._record(name).unlink()
                self._sync()
                killpoints.reached("between_removals")
        self.sweep(name)

    def sweep(self, name: str) -> None:
        """Remove what is left of an object that no record names."""
        record = self.find(name)
        kept = {self._record(name).name, record.file if record else None}
        with errors_in_kinds():
            for file in os.listdir(self.root):
                if file.startswith(f"{name}.") and file not in kept:
                    (self.root / file).unlink(missing_ok=True)

    def objects(self) -> Iterator[str]:
        """The names of all objects; with `.tmp` behind it where there are remains."""
        found = set()
        for file in os.listdir(self.root):
            name, _, suffix = file.partition(".")
            if NAME.fullmatch(name):
                record = self.find(name)
                whole = record is not None and (suffix == "json" or file == record.file)
                found.add(name if whole else f"{name}.tmp")
        return iter(sorted(found))

    def _record(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise InvalidInput(f"{name[:80]!r} cannot be a name on the storage.")
        return self.root / f"{name}.json"

    def _sync(self) -> None:
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextmanager
def errors_in_kinds() -> Iterator[None]:
    """What the operating system says, in the kinds of the contract."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BackendOutOfSpace from error
        raise DriverError(f"The storage failed: {error}") from error
