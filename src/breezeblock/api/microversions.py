"""The microversions of the Block Storage API: which one a request asks for, and what it is answered.

Only the minor number varies, so a version is an `int`: 71 is 3.71.
"""

import re

from breezeblock.errors import InvalidInput, VersionNotSupported

HEADER = "OpenStack-API-Version"
SERVICE = "volume"
OLDEST = 0
NEWEST = 71
UPDATED = "2023-08-31T00:00:00Z"
"""When Cinder's 3.71 appeared; the version documents say so."""

_VERSION = re.compile(r"([1-9][0-9]{0,8})\.([1-9][0-9]{0,8}|0)")


def text(version: int) -> str:
    """`3.71` of 71."""
    return f"3.{version}"


def number(version: str) -> int:
    """71 of `3.71`."""
    return int(version.partition(".")[2])


def requested(header: str | None) -> int:
    """The minor version that the header asks for: the oldest without one, the newest for `latest`.

    The header may name several services, separated by commas; those that are not ours say nothing to us.

    Raises:
        InvalidInput: the version is not MAJOR.MINOR.
        VersionNotSupported: it is outside 3.0 to 3.71.
    """
    if header is None:
        return OLDEST
    for part in header.split(","):
        words = part.split()
        if words[:1] == [SERVICE]:
            return _parse(" ".join(words[1:]))
    return OLDEST


def _parse(version: str) -> int:
    if version == "latest":
        return NEWEST
    match = _VERSION.fullmatch(version)
    if not match:
        raise InvalidInput(
            f"API Version String {version} is of invalid format. Must be of format MajorNum.MinorNum, or latest."
        )
    major, minor = int(match[1]), int(match[2])
    if major != 3 or not OLDEST <= minor <= NEWEST:
        raise VersionNotSupported(
            f"Version {version} is not supported by the API. Minimum is {text(OLDEST)} and maximum is {text(NEWEST)}."
        )
    return minor
