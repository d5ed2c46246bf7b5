"""The local image store: files in one directory, one for each image, and rows in the table `images`.

A file is written under another name, put on stable storage, looked at, and only then given its image's name; after that
it is never changed, so a volume may be made of it in place. It is removed with its image.
"""

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from breezeblock import killpoints
from breezeblock.context import RequestContext, admin_context
from breezeblock.db import image_keys, images
from breezeblock.db.connect import Database
from breezeblock.db.images import SORT_KEYS, ImageQuery
from breezeblock.errors import Conflict, Forbidden, ImageUnacceptable, InvalidInput, NotFound
from breezeblock.images import files
from breezeblock.images.content import FileContent, open_file
from breezeblock.images.inspect import inspect, qemu_format
from breezeblock.model import clock
from breezeblock.model.image import Image

CONTAINER_FORMATS = ("bare", "ami", "ari", "aki")
VISIBILITIES = ("private", "shared", "community", "public")
HASH = "sha512"

_SETTABLE = {
    "name": str | None,
    "disk_format": str | None,
    "container_format": str | None,
    "min_disk": int,
    "min_ram": int,
    "visibility": str,
    "protected": bool,
    "os_hidden": bool,
    "tags": list[str],
    "properties": dict[str, str],
}
"""What a user may set at an image, and its type."""


class LocalCatalog:
    """An `ImageCatalog` of files on this machine, with the verbs that change it.

    Who sees what follows Glance: an image belongs to the project that made it and administrators may do everything;
    public and community images may be used by all; one that may not be seen is `NotFound`.
    """

    def __init__(
        self,
        database: Database,
        directory: Path,
        vmdk_allowed_types: Iterable[str] = ("streamOptimized", "monolithicSparse"),
    ) -> None:
        self._database = database
        self._directory = directory
        self._vmdk_allowed_types = tuple(vmdk_allowed_types)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    # what every image service does

    def get(self, context: RequestContext, image_id: str) -> Image:
        """One image. Raises `NotFound` where there is none that this project may see."""
        image = None
        if self._path(image_id) is not None:
            with self._database.read() as connection:
                image = images.get(connection, image_id)
        if image is None or not _visible(context, image):
            raise NotFound(f"No image found with ID {image_id}.")
        return image

    def find(self, context: RequestContext, name: str) -> list[Image]:
        """All visible images of that name."""
        return self.list_images(context, ImageQuery(name=name))

    @contextmanager
    def open(self, image_id: str, offset: int = 0) -> Iterator[Iterator[bytes]]:
        """The image's bytes from `offset` on, in pieces of a MiB. Raises `NotFound` where it has no data."""
        path = self.local_path(image_id)
        if path is None:
            raise NotFound(f"The image {image_id} has no data.")
        with path.open("rb", buffering=0) as file:
            yield files.read_pieces(file.fileno(), offset)

    def read(self, image_id: str, length: int, offset: int) -> bytes:
        """A range of the image's file. Raises `NotFound` where it has no data."""
        path = self.local_path(image_id)
        if path is None:
            raise NotFound(f"The image {image_id} has no data.")
        with open_file(path) as content:
            return content.pread(length, offset)

    def location(self, image_id: str) -> str:
        """The image's file as it is; a file that was put in its place has another name."""
        path = self.local_path(image_id)
        if path is None:
            raise NotFound(f"The image {image_id} has no data.")
        found = path.stat()
        return f"file:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"

    def local_path(self, image_id: str) -> Path | None:
        """The image's file; None until it has data."""
        path = self._path(image_id)
        return path if path is not None and path.exists() else None

    # what makes it a store

    def list_images(self, context: RequestContext, query: ImageQuery) -> list[Image]:
        """A page of the images this project sees. Raises `InvalidInput` for a wrong sort key or marker."""
        for key, direction in query.sort:
            if key not in SORT_KEYS or direction not in {"asc", "desc"}:
                raise InvalidInput(f"Images cannot be sorted by {key}:{direction}; keys are {', '.join(SORT_KEYS)}.")
        if query.marker is not None:
            try:
                self.get(context, query.marker)
            except NotFound:
                raise InvalidInput(f"The marker {query.marker} is not an image.") from None
        with self._database.read() as connection:
            return images.find(connection, query, None if context.is_admin else context.project_id)

    def create(
        self, context: RequestContext, *, image_id: str | None = None, token: str | None = None, **fields: Any
    ) -> Image:
        """A new image without data (`queued`); `fields` are those of `update`. No token is needed here.

        Raises:
            InvalidInput: a field is unknown or wrong.
            Conflict: there is an image of that id.
            Forbidden: only administrators make public images.
        """
        now = clock.now()
        changes = _checked(context, {"visibility": "shared", **fields})
        image = Image(
            id=_uuid(image_id) if image_id else str(uuid.uuid4()),
            status="queued",
            owner=context.project_id,
            created_at=now,
            updated_at=now,
            **changes,
        )
        try:
            with self._database.begin() as connection:
                images.insert(connection, image)
        except sa.exc.IntegrityError:
            raise Conflict(f"There is already an image with ID {image.id}.") from None
        return image

    def update(self, context: RequestContext, image_id: str, changes: Mapping[str, Any]) -> Image:
        """Set fields: name, disk_format, container_format (both only while `queued`), min_disk, min_ram, visibility,
        protected, os_hidden, tags, properties (the last two as a whole).

        Raises:
            InvalidInput, NotFound, Forbidden: a wrong field; no such image; another project's image.
        """
        image = self._own(context, image_id)
        if image.status != "queued" and {"disk_format", "container_format"} & {
            name for name, value in changes.items() if value != getattr(image, name, None)
        }:
            raise Forbidden("The formats of an image with data cannot be changed.")
        values = {**_checked(context, changes, image), "updated_at": clock.now()}
        with self._database.begin() as connection:
            if not images.update(connection, image_id, values, status=[image.status]):
                raise Conflict(f"The image {image_id} was changed by another request; try again.")
        return self.get(context, image_id)

    def delete(self, context: RequestContext, image_id: str) -> None:
        """Remove an image and its file, and have its key forgotten; volumes made of it stay.

        Raises `NotFound`; `Forbidden` while it is protected.
        """
        image = self._own(context, image_id)
        if image.protected:
            raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
        with self._database.begin() as connection:
            if not images.delete(connection, image_id):
                raise Conflict(f"The image {image_id} was changed by another request; try again.")
            image_keys.request_forgetting(connection, context, image)
        self._unlink(image_id)

    def upload(self, context: RequestContext, image_id: str, pieces: Iterable[bytes]) -> Image:
        """Give a queued image its data, and make it `active` if the data are what its format says.

        Raises:
            Conflict: it has data already, or gets them right now, or was deleted meanwhile.
            ImageUnacceptable: the file is broken or dangerous; it is not kept and the image is `queued` again.
            OverQuota: the store is full.
            Whatever `pieces` raises, with the same outcome.
        """
        image = self._own(context, image_id)
        if not image.disk_format or not image.container_format:
            raise InvalidInput("The image needs a disk_format and a container_format before its data.")
        if image.status == "saving":
            self._forget_upload(image_id)
        part = self._directory / f"{image_id}.upload"
        busy = "it has data already, or is getting them"
        with files.owned(part, os.O_RDWR | os.O_CREAT) as fd:
            if fd is None:
                raise Conflict(f"The image {image_id} cannot take data: {busy}.")
            try:
                self._move(image_id, {"status": "saving"}, "queued", busy)
                self._receive(image, fd, part, pieces)
            finally:
                # under its final name by now, or of no use
                part.unlink(missing_ok=True)
                with self._database.begin() as connection:
                    images.update(connection, image_id, {"status": "queued"}, status=["saving"])
        return self.get(context, image_id)

    def describe(self, image_id: str, properties: dict[str, str]) -> None:
        """Set these properties of an image; others stay. Raises `NotFound`, `Conflict`."""
        image = self.get(admin_context(), image_id)
        values = {"properties": image.properties | properties, "updated_at": clock.now()}
        with self._database.begin() as connection:
            if not images.update(connection, image_id, values, status=[image.status]):
                raise Conflict(f"The image {image_id} was changed by another request; try again.")

    def discard(self, image_id: str) -> None:
        """Remove an image and its file, protected or not, with what is left of an upload. Gone is done."""
        with self._database.begin() as connection:
            images.update(connection, image_id, {"protected": False}, status=["queued", "saving", "active"])
            images.delete(connection, image_id)
        (self._directory / f"{_uuid(image_id)}.upload").unlink(missing_ok=True)
        self._unlink(image_id)

    def recover(self) -> None:
        """Undo uploads that ended with their process; those that still run, here or elsewhere, are left alone."""
        for path in self._directory.iterdir():
            image_id = path.name.removesuffix(".upload")
            if self._path(image_id) is not None:
                self._clear(path, image_id)
        with self._database.read() as connection:
            saving = images.find(connection, ImageQuery(status="saving", os_hidden=None), None)
        for image in saving:
            self._forget_upload(image.id)

    def _forget_upload(self, image_id: str) -> None:
        """Set an image back whose upload ended with its process; one that still runs is left alone."""
        part = self._directory / f"{image_id}.upload"
        for path in (part, self._directory / image_id):
            self._clear(path, image_id)
        if not part.exists() and self.local_path(image_id) is None:
            with self._database.begin() as connection:
                images.update(connection, image_id, {"status": "queued"}, status=["saving"])

    def _clear(self, path: Path, image_id: str) -> None:
        """Remove a file that belongs to no image with data and that no process is filling."""
        try:
            with files.owned(path, os.O_RDWR) as fd, self._database.begin() as connection:
                image = images.get(connection, image_id)
                if fd is None or (image is not None and image.size is not None and path.name == image_id):
                    return
                path.unlink()
                images.update(connection, image_id, {"status": "queued"}, status=["saving"])
        except FileNotFoundError:
            return  # removed by its own process just now

    def _receive(self, image: Image, fd: int, part: Path, pieces: Iterable[bytes]) -> None:
        sums = _Sums()
        with files.reporting_full(self._directory):
            files.write_pieces(fd, pieces, sums.update)
        if os.fstat(fd).st_size == 0:
            raise ImageUnacceptable("The image has no content.")
        facts = inspect(FileContent(fd), image.disk_format or "", vmdk_allowed_types=self._vmdk_allowed_types)
        changes = {
            "status": "active",
            "size": facts.file_size,
            "virtual_size": facts.virtual_size,
            "checksum": sums.md5.hexdigest(),
            "os_hash_algo": HASH,
            "os_hash_value": sums.strong.hexdigest(),
            "updated_at": clock.now(),
        }
        try:
            killpoints.reached("before_publish")
            part.rename(self._directory / image.id)
            killpoints.reached("after_publish")
            files.sync_directory(self._directory)
            self._move(image.id, changes, "saving", "it was deleted while its data came")
        except BaseException:
            self._unlink(image.id)
            raise

    def _move(self, image_id: str, changes: Mapping[str, Any], status: str, why_not: str) -> None:
        with self._database.begin() as connection:
            if not images.update(connection, image_id, changes, status=[status]):
                raise Conflict(f"The image {image_id} cannot take data: {why_not}.")

    def _own(self, context: RequestContext, image_id: str) -> Image:
        image = self.get(context, image_id)
        if not context.is_admin and image.owner != context.project_id:
            raise Forbidden(f"The image {image_id} belongs to another project.")
        return image

    def _path(self, image_id: str) -> Path | None:
        # an id from a request must not lead out of the directory
        try:
            return self._directory / _uuid(image_id)
        except InvalidInput:
            return None

    def _unlink(self, image_id: str) -> None:
        (self._directory / _uuid(image_id)).unlink(missing_ok=True)
        files.sync_directory(self._directory)


class _Sums:
    """Glance's two checksums of the data, computed as they come."""

    def __init__(self) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.strong = hashlib.new(HASH)

    def update(self, piece: bytes) -> None:
        self.md5.update(piece)
        self.strong.update(piece)


def _visible(context: RequestContext, image: Image) -> bool:
    return context.is_admin or image.owner == context.project_id or image.visibility in {"public", "community"}


def _uuid(text: str) -> str:
    try:
        if str(uuid.UUID(text)) == text:
            return text
    except (ValueError, AttributeError):
        pass
    raise InvalidInput(f"{text} is not a UUID in lower case.")


def _checked(context: RequestContext, changes: Mapping[str, Any], image: Image | None = None) -> dict[str, Any]:
    """The changes with types and ranges verified."""
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in _SETTABLE:
            raise InvalidInput(f"The attribute {name} of an image cannot be set.")
        try:
            checked[name] = msgspec.convert(value, _SETTABLE[name])
        except msgspec.ValidationError as error:
            raise InvalidInput(f"The attribute {name} of an image: {error}.") from None
    if checked.get("disk_format") is not None:
        qemu_format(checked["disk_format"])
    if checked.get("container_format") not in {None, *CONTAINER_FORMATS}:
        raise InvalidInput(f"The container_format has to be one of {', '.join(CONTAINER_FORMATS)}.")
    if min(checked.get("min_disk", 0), checked.get("min_ram", 0)) < 0:
        raise InvalidInput("min_disk and min_ram are 0 or more.")
    visibility = checked.get("visibility")
    if visibility is not None and visibility not in VISIBILITIES:
        raise InvalidInput(f"The visibility has to be one of {', '.join(VISIBILITIES)}.")
    was_public = image is not None and image.visibility == "public"
    if visibility == "public" and not was_public and not context.is_admin:
        raise Forbidden("Only an administrator makes an image public.")
    return checked
