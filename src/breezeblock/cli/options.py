"""Options that several commands share, and how their errors are told."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from breezeblock.errors import BreezeblockError, ConfigError

DEFAULT_DATA_DIR = "/var/lib/breezeblock"
EXIT_CONFIG = 78
"""The exit code for a wrong configuration (EX_CONFIG of sysexits.h): starting again would not help."""

data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Directory of all state; made if absent.",
)
config_file = click.option(
    "--config-file",
    "config_files",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="Configuration file; by default breezeblock.conf in the data directory, if there is one.",
)
listen = click.option("--listen", metavar="HOST:PORT", help="Address of the API; by default 127.0.0.1:8776.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def telling_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Print our own errors as one line and exit: 78 for the configuration, 1 for all others."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except BreezeblockError as error:
            click.echo(f"breezeblock: {error.message}", err=True)
            raise SystemExit(EXIT_CONFIG if isinstance(error, ConfigError) else 1) from error

    return wrapped
