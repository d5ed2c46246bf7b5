"""Objects in a directory (a disk, an NFS mount): one file each, for its owner alone."""

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from breezeblock import killpoints
from breezeblock.errors import BackendNotFound, BackendOutOfSpace, BackendTransient

LOCK = ".lock"
UNFINISHED = ".tmp"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DirectoryObjects:
    """An `ObjectStore` below `root`, which is made with the first object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, content: bytes) -> None:
        """As `ObjectStore.put`. What a killed writer left of it lies under a name of its own, and is never listed."""
        path = self.root / name
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}")
        with self._errors(f"take {name}"):
            try:
                _write_durably(temporary, content)
            except OSError:
                with contextlib.suppress(FileNotFoundError):
                    temporary.unlink()
                raise
            killpoints.reached("before_publish")
            temporary.rename(path)
            killpoints.reached("after_publish")
            _sync(path.parent)

    def get(self, name: str) -> bytes:
        """As `ObjectStore.get`."""
        with self._errors(f"give {name}"):
            try:
                return (self.root / name).read_bytes()
            except FileNotFoundError:
                raise BackendNotFound(f"The backup store {self.root} has no {name}.") from None

    def has(self, name: str) -> bool:
        """As `ObjectStore.has`. Opened, since NFS looks whether a file is still there when it is opened."""
        with self._errors(f"look for {name}"):
            try:
                os.close(os.open(self.root / name, os.O_RDONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                return False
            return True

    def list(self, prefix: str) -> Iterator[str]:
        """As `ObjectStore.list`."""
        with self._errors(f"list {prefix}"):
            for folder, folders, files in os.walk(self.root / prefix, onerror=_unless_gone):
                folders.sort()
                for file in sorted(files):
                    if not file.startswith("."):
                        yield str((Path(folder) / file).relative_to(self.root))

    def levels(self) -> Iterator[str]:
        """As `ObjectStore.levels`."""
        with self._errors("be listed"):
            yield from sorted(path.name for path in self.root.glob("[!.]*") if path.is_dir())

    def delete(self, name: str, *, settled: bool = False) -> None:
        """As `ObjectStore.delete`; folders that are empty then go too."""
        path = self.root / name
        with self._errors(f"remove {name}"):
            path.unlink(missing_ok=True)
            if settled:
                _sync_nearest(path.parent)
            for folder in path.relative_to(self.root).parents:
                if folder == Path() or not _removed(self.root / folder):
                    break

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """As `ObjectStore.exclusive`: a lock of the file system, which the kernel drops with the process."""
        with self._errors("be locked"):
            _make_folder(self.root)
            fd = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._errors("be locked"):
                fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def sweep(self, prefix: str) -> None:
        """As `ObjectStore.sweep`: unfinished files, and the folders that a killed removal left empty."""
        with self._errors(f"tidy {prefix}"):
            for folder, _, files in os.walk(self.root / prefix, topdown=False, onerror=_unless_gone):
                for file in files:
                    if file.startswith(".") and file.endswith(UNFINISHED):
                        (Path(folder) / file).unlink(missing_ok=True)
                _removed(Path(folder))

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = f"The backup store {self.root} cannot {doing}: {error.strerror or error}."
            if error.errno in _FULL:
                raise BackendOutOfSpace(f"{said} Delete backups, or add space.") from error
            raise BackendTransient(said) from error


def _write_durably(path: Path, content: bytes) -> None:
    while True:
        _make_folder(path.parent)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            break
        except FileNotFoundError:
            continue  # somebody removed the folder, which was empty
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    """Have a folder there, with those around it, on the disk."""
    while not folder.exists():
        try:
            folder.mkdir(mode=0o700)
            _sync(folder.parent)
        except FileNotFoundError:
            _make_folder(folder.parent)
        except FileExistsError:
            return


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_nearest(folder: Path) -> None:
    """Sync a folder, or the one that it was in where somebody has removed it."""
    try:
        _sync(folder)
    except FileNotFoundError:
        _sync_nearest(folder.parent)


def _removed(folder: Path) -> bool:
    """Whether a folder was empty and is gone now."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
