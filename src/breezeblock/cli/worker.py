"""`breezeblock worker`."""

import signal
from pathlib import Path

import click

from breezeblock.cli import logs, options


@click.command()
@options.data_dir
@options.config_file
@click.option("--backend", "names", multiple=True, help="Section of a backend to own; by default all enabled ones.")
@click.option("--upgrade", is_flag=True, help="Bring the database to this release's tables first.")
@options.telling_errors
def command(data_dir: Path, config_files: tuple[Path, ...], names: tuple[str, ...], upgrade: bool) -> None:
    """Run a worker: it owns backends and runs their flows."""
    from breezeblock import config
    from breezeblock.db import migrate
    from breezeblock.db.connect import Database
    from breezeblock.images.open import open_catalog
    from breezeblock.worker import Worker

    logs.set_up("worker")
    settings = config.load(data_dir, config_files=config_files)
    config.prepare_data_dir(data_dir)
    database = Database(settings.database_url, settings.database_pool)
    (migrate.upgrade if upgrade else migrate.wait_until_current)(database)
    backends = [settings.backend(name) for name in names] or settings.backends
    worker = Worker(settings, database, open_catalog(settings, database), backends)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()
