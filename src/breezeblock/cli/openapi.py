"""`breezeblock openapi`."""

import json

import click

from breezeblock.api import microversions
from breezeblock.api.openapi import served
from breezeblock.cli import options


@click.command()
@click.option(
    "--microversion",
    metavar="3.N",
    default=microversions.text(microversions.NEWEST),
    show_default=True,
    help="The microversion that the document is of.",
)
@click.option("--images", is_flag=True, help="The document of the local image store instead.")
@options.telling_errors
def command(microversion: str, images: bool) -> None:
    """Print the API's OpenAPI 3.1 document.

    It is what `GET /v3/openapi.json` answers (and `/image/openapi.json`), for whatever host.
    """
    version = microversions.requested(f"{microversions.SERVICE} {microversion}")
    told = served.published_images() if images else served.published(version)
    click.echo(json.dumps(told, indent=1, ensure_ascii=False))
