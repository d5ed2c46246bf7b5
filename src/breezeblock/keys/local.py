"""Keys in files of this machine: one file a key, for its user alone, that holds the passphrase as it is given to QEMU."""

import contextlib
import os
import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path

from breezeblock import killpoints
from breezeblock.errors import KeyManagerError
from breezeblock.keys.store import passphrase

CERTIFICATE = ".pem"


class LocalKeys:
    """A directory of keys. A key's name is its id, and its file's name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def make(self, name: str, length: int, reader: str) -> str:
        """As `KeyStore.make`."""
        return self._keep(name, secrets.token_bytes(length))

    def copy(self, name: str, key_id: str, reader: str) -> str:
        """As `KeyStore.copy`."""
        return self._keep(name, self.get(key_id))

    def give(self, key_id: str, reader: str) -> None:
        """As `KeyStore.give`: files tell no users apart. Raises `KeyManagerError` where the key is not there."""
        self.get(key_id)

    def get(self, key_id: str) -> bytes:
        """As `KeyStore.get`."""
        try:
            return bytes.fromhex(self._file(key_id).read_text())
        except FileNotFoundError:
            raise KeyManagerError(f"The key {key_id} is not in {self._root}.") from None
        except (OSError, ValueError) as error:
            raise KeyManagerError(f"The key {key_id} in {self._root} cannot be read: {type(error).__name__}.") from None

    def certificate(self, certificate_id: str) -> bytes:
        """As `KeyStore.certificate`: the file ID`.pem` beside the keys."""
        path = self._file(certificate_id).with_suffix(CERTIFICATE)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise KeyManagerError(f"The certificate {path.name} is not in {self._root}.") from None
        except OSError as error:
            raise KeyManagerError(f"The certificate {path} cannot be read: {error.strerror}.") from None

    def delete(self, key_id: str) -> None:
        """As `KeyStore.delete`."""
        path = self._file(key_id)
        with self._errors("delete"), contextlib.suppress(FileNotFoundError):
            path.with_suffix(".new").unlink(missing_ok=True)
            path.unlink()
            self._sync()

    def ids(self) -> list[str]:
        """All keys there are."""
        names = os.listdir(self._root) if self._root.exists() else []
        return sorted(name for name in names if not name.endswith((".new", CERTIFICATE)))

    def _keep(self, name: str, key: bytes) -> str:
        path = self._file(name)
        if path.exists():
            return name
        new = path.with_suffix(".new")
        with self._errors("keep"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(new, "w", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
                file.write(passphrase(key))
                file.flush()
                os.fsync(file.fileno())
            killpoints.reached("before_publish")
            new.rename(path)
            killpoints.reached("after_publish")
            self._sync()
        return name

    def _file(self, key_id: str) -> Path:
        try:
            return self._root / str(uuid.UUID(key_id))
        except ValueError:
            raise KeyManagerError(f"{key_id} is no id of a key kept here.") from None

    def _sync(self) -> None:
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KeyManagerError(f"The directory {self._root} could not {doing} a key: {error.strerror}.") from error
