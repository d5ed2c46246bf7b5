"""A site at rest, and what its users notice when the owner of the backend is killed."""

import time

import msgspec

from bench.gauges import statements
from bench.scenarios import CONNECTOR
from bench.site import Site

REST_SECONDS = 30.0
SETTLE_SECONDS = 2.0


class Rest(msgspec.Struct, frozen=True):
    """A site with one volume attached and nothing to do."""

    percent: dict[str, float]
    """Of one processor, by group of processes."""
    memory_mib: dict[str, float]
    statements_per_second: float


def rest(site: Site) -> Rest:
    """Look on for half a minute."""
    client = site.client()
    volume_id = client.create_volume()
    client.wait_available("volume", volume_id)
    attachment_id = client.create("attachment", volume_uuid=volume_id, connector=CONNECTOR)
    time.sleep(SETTLE_SECONDS)
    groups, sent = site.groups(), statements(site)
    before, sent_before = {name: one.cpu_seconds() for name, one in groups.items()}, sent()
    time.sleep(REST_SECONDS)
    usage, sent_after = {name: one.usage() for name, one in groups.items()}, sent()
    client.delete("attachment", attachment_id)
    client.wait_available("volume", volume_id)
    client.delete("volume", volume_id)
    client.wait_gone("volume", volume_id)
    return Rest(
        percent={name: (one.cpu_seconds - before[name]) * 100 / REST_SECONDS for name, one in usage.items()},
        memory_mib={name: one.memory_bytes / 2**20 for name, one in usage.items()},
        statements_per_second=sum(
            sent_after[one] - sent_before[one] for one in sent_after if one.endswith("statements")
        )
        / REST_SECONDS,
    )


def take_over(site: Site) -> float:
    """Seconds from the owner's SIGKILL until a raw volume, asked for at once, is available; then there is a new standby."""
    owner = site.owner()
    client = site.client()
    client.get("/volumes?limit=1")  # the connection is there
    killed = time.perf_counter()
    owner.kill()
    volume_id = client.create_volume()
    client.wait_available("volume", volume_id)
    seconds = time.perf_counter() - killed
    client.delete("volume", volume_id)
    client.wait_gone("volume", volume_id)
    site.workers.remove(owner)
    site.stand_by()
    return seconds
