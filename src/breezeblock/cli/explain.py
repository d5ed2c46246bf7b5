"""`breezeblock explain`."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from breezeblock.cli import options
from breezeblock.cli.client import Client
from breezeblock.cli.progress import progress_text
from breezeblock.errors import NotFound

COLOURS = {
    "made": "green",
    "done": "green",
    "fits": "green",
    "waited": "green",
    "waits": "yellow",
    "declined": "yellow",
    "refused": "yellow",
    "failed": "red",
}


@click.command()
@click.argument("volume")
@options.data_dir
@options.as_json
@options.telling_errors
def command(volume: str, data_dir: Path, as_json: bool) -> None:
    """Tell how VOLUME (id or name; also a deleted one's id) came to be: each call, what went in and out, how long."""
    client = Client(data_dir)
    try:
        resource_id = client.volume_id(volume)
    except NotFound:
        resource_id = volume
    found = client.call("GET", f"/operations?resource_id={resource_id}")["operations"]
    if not found:
        raise NotFound(f"Nothing is known of {volume}.")
    if as_json:
        click.echo(json.dumps({"resource_id": resource_id, "operations": found}, indent=2))
        return
    console = Console()
    for operation in reversed(found):
        console.print(walk(operation))
        if operation["waits_for"]:
            console.print(walk(client.call("GET", f"/operations/{operation['waits_for']}")["operation"]))


def walk(operation: dict[str, Any]) -> Table:
    """One operation as a table: a row a step."""
    title = f"{operation['kind']} {operation['resource_id']}: {operation['state']}"
    if operation["message"]:
        title += f" ({operation['message']})"
    table = Table(title=title, title_justify="left", show_lines=False, caption=_caption(operation))
    for column in ("step", "answer", "took", "went in", "came out or why not"):
        table.add_column(column, overflow="fold", no_wrap=column in {"answer", "took"})
    for answer in operation["answers"]:
        came_out = answer["reason"] or _short(answer["result"])
        took = f"{answer['seconds'] * 1000:.1f} ms" if answer["seconds"] else ""
        outcome = Text(answer["outcome"], style=COLOURS.get(answer["outcome"], ""))
        table.add_row(answer["step"], outcome, took, _short(answer["given"]), came_out)
    return table


def _caption(operation: dict[str, Any]) -> str:
    parts = [f"asked {operation['created_at']}", f"ended {operation['finished_at'] or 'not yet'}"]
    if operation["waiting"]:
        parts.append(operation["waiting"])
    if operation["bytes_total"]:
        parts.append(progress_text(operation))
    return ", ".join(parts)


def _short(values: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())
