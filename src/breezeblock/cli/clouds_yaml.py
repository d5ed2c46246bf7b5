"""`breezeblock clouds-yaml`."""

from pathlib import Path

import click

from breezeblock.cli import options
from breezeblock.cli.client import Client
from breezeblock.config import DEFAULT_PROJECT


@click.command()
@options.data_dir
@click.option("--name", default="breezeblock", show_default=True, help="Name of the cloud in the file.")
@options.telling_errors
def command(data_dir: Path, name: str) -> None:
    """Print a clouds.yaml with which OpenStack's clients use this service (auth_strategy none)."""
    root = Client(data_dir).root
    click.echo(
        f"""clouds:
  {name}:
    auth_type: none
    auth:
      endpoint: {root}/v3/{DEFAULT_PROJECT}
    block_storage_endpoint_override: {root}/v3/{DEFAULT_PROJECT}
    image_endpoint_override: {root}/image
    volume_api_version: "3"
    image_api_version: "2"
"""
    )
