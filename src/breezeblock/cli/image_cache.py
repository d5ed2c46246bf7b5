"""`breezeblock image-cache`."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from breezeblock.cli import options
from breezeblock.cli.client import Client
from breezeblock.cli.progress import progress_text
from breezeblock.errors import NotFound

backend = click.option("--backend", metavar="HOST@BACKEND", help="Only on this backend.")


@click.group()
def command() -> None:
    """What the image-volume cache holds. IMAGE is an image's id or name, or the id of one entry."""


@command.command("list")
@backend
@options.data_dir
@options.as_json
@options.telling_errors
def list_entries(backend: str | None, data_dir: Path, as_json: bool) -> None:
    """List what is cached, and what is being fetched."""
    _print(_listed(Client(data_dir), backend), as_json)


@command.command()
@click.argument("image")
@backend
@options.data_dir
@options.as_json
@options.telling_errors
def show(image: str, backend: str | None, data_dir: Path, as_json: bool) -> None:
    """Show IMAGE's entry on each backend that has one."""
    _print(_found(Client(data_dir), image, backend), as_json)


@command.command()
@click.argument("image")
@backend
@options.data_dir
@options.telling_errors
def pin(image: str, backend: str | None, data_dir: Path) -> None:
    """Keep IMAGE cached, whatever the limits of the cache say."""
    _act(Client(data_dir), image, backend, "pin")


@command.command()
@click.argument("image")
@backend
@options.data_dir
@options.telling_errors
def unpin(image: str, backend: str | None, data_dir: Path) -> None:
    """Let IMAGE make room for others again."""
    _act(Client(data_dir), image, backend, "unpin")


@command.command()
@click.argument("image")
@click.option("--backend", metavar="HOST@BACKEND", help="Where; needed if there are several with a cache.")
@click.option("--pin", "pinned", is_flag=True, help="Pin it too.")
@options.data_dir
@options.as_json
@options.telling_errors
def prefetch(image: str, backend: str | None, pinned: bool, data_dir: Path, as_json: bool) -> None:
    """Fetch IMAGE (id or name) now, so that the first volume of it is made at once."""
    wanted = {"image_id": image, "backend": backend, "pinned": pinned}
    _print([Client(data_dir).call("POST", "/image-cache", {"prefetch": wanted})["image_cache_entry"]], as_json)


@command.command()
@click.argument("image")
@backend
@options.data_dir
@options.telling_errors
def evict(image: str, backend: str | None, data_dir: Path) -> None:
    """Drop IMAGE from the cache; volumes made of it live on. One that is pinned is refused."""
    client = Client(data_dir)
    for entry in _found(client, image, backend):
        client.call("DELETE", f"/image-cache/{entry['id']}")


def _act(client: Client, image: str, backend: str | None, action: str) -> None:
    for entry in _found(client, image, backend):
        client.call("POST", f"/image-cache/{entry['id']}/action", {action: None})


def _listed(client: Client, backend: str | None) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = client.call("GET", "/image-cache")["image_cache"]
    return [one for one in entries if backend in {None, one["backend"]}]


def _found(client: Client, image: str, backend: str | None) -> list[dict[str, Any]]:
    """The entries that are meant. Raises `NotFound` where there is none."""
    found = [one for one in _listed(client, backend) if image in {one["id"], one["image_id"], one["image_name"]}]
    if not found:
        raise NotFound(f"{image} is not cached{f' on {backend}' if backend else ''}.")
    return found


def _print(entries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"image_cache": entries}, indent=2))
        return
    shown = Table(show_lines=False)
    for column in ("image", "name", "backend", "GiB", "status", "pinned", "last used"):
        shown.add_column(column, overflow="fold")
    for one in entries:
        status = f"filling: {progress_text(one['progress'])}" if one["progress"] else one["status"]
        pinned = "yes" if one["pinned"] else ""
        name, size = one["image_name"] or "", str(one["size"] or "")
        shown.add_row(one["image_id"], name, one["backend"], size, status, pinned, one["last_used"])
    Console().print(shown)
