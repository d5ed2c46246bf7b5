"""A backend as what an operation is about."""

import msgspec


class StorageService(msgspec.Struct, frozen=True, kw_only=True):
    """The service that owns a backend; `id` and `host` are both `host@backend`."""

    id: str
    host: str
    project_id: str
    """Of whoever asked for the operation."""
