"""The examination: every check on one picture."""

from pathlib import Path

import sqlalchemy as sa

from breezeblock.config import Settings
from breezeblock.db import migrate
from breezeblock.db.connect import Database
from breezeblock.errors import ConfigError
from breezeblock.services.doctor import objects, picture, rows
from breezeblock.services.doctor.finding import Finding


def examine(settings: Settings, database: Database) -> list[Finding]:
    """All that is wrong; nothing is changed. Backends of other machines are not looked at.

    Raises `DatabaseUnavailable`, and `ConfigError` where there is no database of this release.
    """
    file = sa.make_url(database.url).database if database.is_sqlite else None
    if (file is not None and not Path(file).exists()) or not migrate.is_current(database):
        raise ConfigError(f"There is no database of this release at {file or 'the configured server'}.")
    seen = picture.take(settings, database)
    return [*objects.check(seen), *rows.check(seen)]
