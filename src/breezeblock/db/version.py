"""Which tables this release needs. Imports no SQLAlchemy: the supervisor asks, and it stays small."""

import contextlib
import sqlite3
from pathlib import Path

HEAD = "0001"
"""The newest migration."""


def is_current_file(path: Path) -> bool:
    """Whether a SQLite file holds this release's tables; no file, or none that can be read, does not."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return bool(found == (HEAD,))
    except sqlite3.Error:
        return False
