"""`breezeblock db upgrade`."""

from pathlib import Path

import click

from breezeblock.cli import options


@click.group()
def command() -> None:
    """Bring the database to this release's tables."""


@command.command()
@options.data_dir
@options.config_file
@options.telling_errors
def upgrade(data_dir: Path, config_files: tuple[Path, ...]) -> None:
    """Make or change the tables as this release needs them. Done already is done."""
    from breezeblock import config
    from breezeblock.db import migrate
    from breezeblock.db.connect import Database

    config.prepare_data_dir(data_dir)
    settings = config.load(data_dir, config_files=config_files)
    migrate.upgrade(Database(settings.database_url))
