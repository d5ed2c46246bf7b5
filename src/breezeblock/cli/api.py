"""`breezeblock api`."""

import socket
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from breezeblock import commands, config
from breezeblock.api.app import make_app  # imported before the fork: its memory is shared
from breezeblock.cli import logs, notify, options
from breezeblock.config import Settings
from breezeblock.db import migrate
from breezeblock.db.connect import Database
from breezeblock.errors import ConfigError
from breezeblock.images.open import open_catalog


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one process of threads. The application is made after the fork: no connection crosses it."""

    def __init__(self, settings: Settings, notifier: notify.Notifier) -> None:
        self._settings = settings
        self._notifier = notifier
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings, from ours."""
        settings = {
            "bind": str(self._settings.listen),
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._settings.api_threads,
            "worker_tmp_dir": str(self._settings.run_dir),
            "keepalive": 75,
            "graceful_timeout": 5,
            "timeout": 120,
            "proc_name": "breezeblock-api",
            "loglevel": "warning",
            "control_socket_disable": True,
            "post_fork": lambda _arbiter, worker: commands.end_with_parent(worker.ppid),
            "post_worker_init": lambda _worker: self._notifier.tell(notify.READY),
        }
        for key, value in settings.items():
            if key in self.cfg.settings:
                self.cfg.set(key, value)

    def load(self) -> Any:
        """The WSGI application."""
        database = Database(self._settings.database_url, self._settings.database_pool)
        migrate.wait_until_current(database)
        return make_app(self._settings, database, open_catalog(self._settings, database))


@click.command()
@options.data_dir
@options.config_file
@options.listen
@options.telling_errors
def command(data_dir: Path, config_files: tuple[Path, ...], listen: str | None) -> None:
    """Run an API process."""
    commands.end_without_parent()
    logs.set_up("api")
    settings = config.load(data_dir, config_files=config_files, listen=listen)
    config.prepare_data_dir(data_dir)
    _check_free(settings)
    Server(settings, notify.from_environment()).run()


def _check_free(settings: Settings) -> None:
    """Say at once that the address is taken; gunicorn would try again for seconds. Raises `ConfigError`."""
    family = socket.AF_INET6 if ":" in settings.listen.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.listen.host, settings.listen.port))
        except OSError as error:
            raise ConfigError(f"Cannot listen on {settings.listen}: {error.strerror}.") from error
