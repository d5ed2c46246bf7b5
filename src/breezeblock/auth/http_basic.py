"""HTTP basic authentication by an htpasswd file, as oslo.middleware's and Ironic's: for clouds without Keystone."""

import base64
import hashlib
import hmac
import logging
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import msgspec

from breezeblock.auth import policy
from breezeblock.auth.authentication import Header
from breezeblock.config import DEFAULT_PROJECT, Settings
from breezeblock.context import RequestContext
from breezeblock.errors import ConfigError, InvalidInput, Unauthorized

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

ROLES = {
    "admin": ("admin", "manager", "member", "reader"),
    "manager": ("manager", "member", "reader"),
    "member": ("member", "reader"),
    "reader": ("reader",),
    "service": ("service",),
}
"""The roles a user may be given, each with those it implies, as Keystone's bootstrap has them."""

MOST_PASSWORD_BYTES = 72
"""More of a password bcrypt does not look at."""


class HttpBasicAuthentication:
    """Users are those of the file; a project and a role they have by the configuration.

    Checking a password costs some 50 to 250 ms on purpose. One that was right is remembered in memory, as a digest with
    a key of this process, as long as the file gives its user the same hash.
    """

    challenge = 'Basic realm="Breezeblock", charset="UTF-8"'

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigError` where the file cannot be read, or a user's hash is not bcrypt's or role is unknown."""
        self._file = settings.path("http_basic_auth_user_file", "htpasswd")
        self._projects: dict[str, str] = settings.http_basic_auth_user_projects
        self._roles: dict[str, str] = settings.http_basic_auth_user_roles
        for user, role in self._roles.items():
            if role not in ROLES:
                raise ConfigError(f"http_basic_auth_user_roles: {user} cannot be {role}, but {', '.join(ROLES)}.")
        self._stamp, self._hashes = _stamp(self._file), _read(self._file)
        self._nobodys = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(_rounds(self._hashes)))
        self._key = secrets.token_bytes(32)
        self._verified: dict[str, tuple[bytes, bytes]] = {}

    def wrap(self, app: "WSGIApplication") -> "WSGIApplication":
        """The app itself: nothing stands before it."""
        return app

    def identify(self, header: Header, project_in_path: str | None, request_id: str) -> RequestContext:
        """The context of a user whose password is right; an administrator chooses the project by the path."""
        user, password = _credentials(header("Authorization"))
        if not self._is_right(user, password):
            raise Unauthorized
        roles = ROLES[self._roles.get(user, "admin")]
        project = self._projects.get(user, DEFAULT_PROJECT)
        context = policy.with_rights(
            RequestContext(
                user_id=user,
                project_id=project,
                roles=roles,
                is_service="service" in roles,
                request_id=request_id,
            )
        )
        if project_in_path in {None, project}:
            return context
        if not context.is_admin:
            raise InvalidInput("Malformed request url")
        return msgspec.structs.replace(context, project_id=project_in_path)

    def _is_right(self, user: str, password: bytes) -> bool:
        """Whether the password is the user's. It takes as long for a user who is not there."""
        crypted = self._current().get(user)
        digest = hmac.digest(self._key, user.encode() + b"\0" + password, hashlib.sha256)
        known, remembered = self._verified.get(user, (b"", b""))
        if crypted is not None and hmac.compare_digest(known + remembered, crypted + digest):
            return True
        right = bcrypt.checkpw(password[:MOST_PASSWORD_BYTES], crypted or self._nobodys)
        if not right or crypted is None or len(password) > MOST_PASSWORD_BYTES:
            return False
        self._verified[user] = (crypted, digest)
        return True

    def _current(self) -> dict[str, bytes]:
        """The hashes as the file has them now; those before where it cannot be read."""
        stamp = _stamp(self._file)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._hashes = _read(self._file)
            except ConfigError as error:
                log.error("The users stay as they were: %s", error.message)
            else:
                self._verified = {user: one for user, one in self._verified.items() if user in self._hashes}
        return self._hashes


def _credentials(header: str | None) -> tuple[str, bytes]:
    """User and password. Raises `Unauthorized` for anything else."""
    kind, _, encoded = (header or "").strip().partition(" ")
    if kind.lower() != "basic":
        raise Unauthorized
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        name = user.decode()
    except ValueError:
        raise Unauthorized from None
    if not colon or not name or b"\0" in password or "\0" in name:
        raise Unauthorized
    return name, password


def _read(path: Path) -> dict[str, bytes]:
    """The hash of each user; of a user who is there twice, the first."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The user file {path} (http_basic_auth_user_file) cannot be read: {error}") from error
    hashes: dict[str, bytes] = {}
    for line in lines:
        user, colon, crypted = line.strip().partition(":")
        if not colon or user.startswith("#"):
            continue
        if not _is_bcrypt(crypted):
            raise ConfigError(
                f"The user file {path} has a password of {user} that is not bcrypt's; write it by htpasswd -B."
            )
        hashes.setdefault(user, crypted.encode())
    return hashes


def _is_bcrypt(crypted: str) -> bool:
    return re.fullmatch(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}", crypted) is not None and 4 <= int(crypted[4:6]) <= 31


def _rounds(hashes: dict[str, bytes]) -> int:
    """The most that one of the hashes costs: what a user who is not there should cost."""
    return max((int(crypted[4:6]) for crypted in hashes.values()), default=10)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino
