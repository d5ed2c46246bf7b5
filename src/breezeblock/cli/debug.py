"""`breezeblock debug`: what tests and developers look at."""

import json

import click
from rich.console import Console
from rich.table import Table

from breezeblock import killpoints


@click.group()
def command() -> None:
    """Look at what tests and developers need."""


@command.command("kill-points")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def kill_points(as_json: bool) -> None:
    """List the places where a process can be made to kill itself, each with what it stands between."""
    names = killpoints.names()
    if as_json:
        click.echo(json.dumps(names, indent=2))
        return
    table = Table("kill point", "between", "and", box=None)
    for name, meaning in names.items():
        table.add_row(name, *meaning.split(" | "))
    Console().print(table)
