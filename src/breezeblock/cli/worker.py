"""`breezeblock worker`."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import click

from breezeblock import commands
from breezeblock.cli import logs, notify, options
from breezeblock.lockfile import EXIT_LOST_SLOT

GRACE_SECONDS = 8.0
"""After a SIGTERM, how long a storage's verb may take to come back; then it is left as a crash would leave it."""


@click.command()
@options.data_dir
@options.config_file
@click.option("--backend", "names", multiple=True, help="Section of a backend to own; by default all enabled ones.")
@click.option(
    "--slot", "slots", type=int, multiple=True, help="Number of a slot to own; by default all (backend_slots)."
)
@click.option("--upgrade", is_flag=True, help="Bring the database to this release's tables first.")
@options.telling_errors
def command(
    data_dir: Path, config_files: tuple[Path, ...], names: tuple[str, ...], slots: tuple[int, ...], upgrade: bool
) -> None:
    """Run a worker: it owns backends and runs their flows. Where another worker owns one, it stands by to take over."""
    from breezeblock import config
    from breezeblock.db import migrate
    from breezeblock.db.connect import Database
    from breezeblock.errors import DatabaseUnavailable
    from breezeblock.images.open import open_catalog
    from breezeblock.worker import Worker

    commands.end_without_parent()
    logs.set_up("worker")
    settings = config.load(data_dir, config_files=config_files)
    config.prepare_data_dir(data_dir)
    database = Database(settings.database_url, settings.database_pool)
    (migrate.upgrade if upgrade else migrate.wait_until_current)(database)
    backends = [settings.backend(name) for name in names] or settings.backends
    images = open_catalog(settings, database)
    # the database was there a moment ago, and may be gone again: that ends no process
    deadline = time.monotonic() + migrate.WAIT_SECONDS
    worker = migrate.until_reached(lambda: Worker(settings, database, images, backends, slots), deadline)
    notifier = notify.from_environment()

    def stop(*_: Any) -> None:
        notifier.end(GRACE_SECONDS, lambda: os._exit(0))
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    notifier.keep_telling()
    notifier.tell(notify.READY)
    try:
        worker.run()
    except DatabaseUnavailable as error:
        click.echo(f"breezeblock: {error.message}", err=True)
        raise SystemExit(EXIT_LOST_SLOT) from error
