"""`breezeblock connect`."""

import json
from pathlib import Path

import click

from breezeblock.cli import options
from breezeblock.cli.client import Client, host_name


@click.command()
@click.argument("volume")
@options.data_dir
@options.as_json
@options.telling_errors
def command(volume: str, data_dir: Path, as_json: bool) -> None:
    """Open VOLUME (id or name) from this machine: prints its NBD URI, for qemu-img, nbdcopy and their like."""
    client = Client(data_dir)
    volume_id = client.volume_id(volume)
    listed = client.call("GET", f"/attachments/detail?volume_id={volume_id}&all_tenants=1")["attachments"]
    attachment = next((one for one in listed if one["connection_info"].get("uri")), None)
    if attachment is None:
        connector = {"host": host_name(), "ip": "127.0.0.1", "driver_volume_type": "nbd"}
        body = {"attachment": {"volume_uuid": volume_id, "connector": connector}}
        attachment = client.call("POST", "/attachments", body)["attachment"]
        client.call("POST", f"/attachments/{attachment['id']}/action", {"os-complete": {}})
    info = attachment["connection_info"]
    answer = {"uri": info["uri"], "attachment_id": attachment["id"], "volume_id": volume_id, "connection_info": info}
    click.echo(json.dumps(answer, indent=2) if as_json else info["uri"])
