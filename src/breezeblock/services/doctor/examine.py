"""The examination: every check on one picture."""

from breezeblock.config import Settings
from breezeblock.db.connect import Database
from breezeblock.services.doctor import objects, picture, rows
from breezeblock.services.doctor.finding import Finding


def examine(settings: Settings, database: Database) -> list[Finding]:
    """All that is wrong; nothing is changed. Backends of other machines are not looked at.

    Raises `DatabaseUnavailable`.
    """
    seen = picture.take(settings, database)
    return [*objects.check(seen), *rows.check(seen)]
