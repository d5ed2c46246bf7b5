"""One thing that is wrong."""

from typing import Any

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with which resource, and what `--fix` would do about it."""

    kind: str
    """What sort of disagreement; `fix.FIXES` knows each one that can be mended."""
    resource: str
    """volume, snapshot, backup, group, group_snapshot, image, attachment, operation or backend."""
    id: str
    wrong: str
    """What is wrong, for a person."""
    fix: str | None
    """What `--fix` would do; None where a person has to."""
    backend: str | None = None
    """`host@backend` where it is about one."""
    details: dict[str, Any] = {}
    """What the fix needs to know."""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Equal for the same finding of two examinations."""
        return (self.kind, self.resource, self.id, str(self.details.get("name", "")))
