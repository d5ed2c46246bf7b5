"""`breezeblock disconnect`."""

from pathlib import Path

import click

from breezeblock.cli import options
from breezeblock.cli.client import Client


@click.command()
@click.argument("volume")
@options.data_dir
@options.telling_errors
def command(volume: str, data_dir: Path) -> None:
    """Withdraw all attachments of VOLUME (id or name)."""
    client = Client(data_dir)
    volume_id = client.volume_id(volume)
    for attachment in client.call("GET", f"/attachments?volume_id={volume_id}&all_tenants=1")["attachments"]:
        client.call("DELETE", f"/attachments/{attachment['id']}")
