"""`make bench-ceph`: volumes on Ceph, beside a Cinder whose default volume type is on the same cluster.

BENCH_CEPH_CONF is the cluster's configuration, BENCH_CEPH_USER a cephx user (default cinder), BENCH_CEPH_POOL a pool for
this run alone; without them a cluster is started for the run. The Cinder is named as for `make bench`. Where it has a
Keystone, this project's server takes the same Keystone and the Glance in its catalog, as the service user
BENCH_SERVICE_USER (default cinder) with BENCH_SERVICE_PASSWORD.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import command, librbd, report
from bench.client import Endpoint
from bench.embedded import Embedded, make_image, open_endpoint
from bench.measure import Remote
from bench.report import Goal
from bench.rounds import Results, Subject, measure
from bench.site import wait_until
from breezeblock.drivers.rbd.names import GONE
from tests.ceph import Ceph

TITLE = "Volumes on Ceph"
TESTS = "raw,batch,snapshot,from_snapshot,clone,delete,image,idle"
METADATA = "raw batch snapshot from_snapshot clone delete image_then clone_of_image".split()
GOALS = {**dict.fromkeys(METADATA, Goal("wall_ms", times=5)), "image_first": Goal("wall_ms", times=2)}

CONFIGURATION = """[DEFAULT]
enabled_backends = ceph
quota_volumes = -1
quota_snapshots = -1
quota_gigabytes = -1
{services}
[ceph]
volume_driver = rbd
rbd_ceph_conf = {conf}
rbd_user = {user}
rbd_pool = {pool}
max_over_subscription_ratio = 1000
"""
SERVICES = """auth_strategy = keystone
image_service = glance
[keystone_authtoken]
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
auth_type = password
username = {user}
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default
[glance]
auth_url = {auth_url}
username = {user}
password = {password}
project_name = service
"""


class Pool(msgspec.Struct, frozen=True):
    """Where this project's volumes are to lie."""

    conf: str
    user: str
    pool: str

    def settle(self) -> None:
        """Wait until nothing is left there that is being removed."""
        argv = ["rbd", "-c", self.conf, "--id", self.user, "ls", self.pool]
        wait_until(lambda: GONE not in subprocess.run(argv, check=True, capture_output=True, text=True).stdout, 0.2)


@contextmanager
def _pool() -> Iterator[Pool]:
    """The one that the environment names, or one of a cluster that ends with the block."""
    user = os.environ.get("BENCH_CEPH_USER", "cinder")
    if conf := os.environ.get("BENCH_CEPH_CONF"):
        yield Pool(conf, user, os.environ["BENCH_CEPH_POOL"])
    else:
        with Ceph() as ceph:
            yield Pool(str(ceph.conf), user, "volumes")


def _embedded(data_dir: Path, image_file: Path, repeat: int, pool: Pool, peer: Remote | None) -> Embedded:
    endpoint_at, services = open_endpoint, ""
    if peer is not None and peer.auth_url:
        user, password = (os.environ.get(f"BENCH_SERVICE_{name}", "") for name in ("USER", "PASSWORD"))
        services = SERVICES.format(auth_url=peer.auth_url, user=user or "cinder", password=password)
        known: Remote = peer

        def endpoint_at(address: str) -> Endpoint:
            return msgspec.structs.replace(known.log_in(known.user, known.project), volumes=f"http://{address}/v3")

    configuration = CONFIGURATION.format(services=services, conf=pool.conf, user=pool.user, pool=pool.pool)
    return Embedded(data_dir, image_file, repeat, configuration, endpoint_at, pool.settle)


def section(results: Results, server: str, peer: str | None, alone: Mapping[str, float]) -> str:
    """The part of BENCHMARKS.md on Ceph; `alone` is what librbd takes, in ms."""
    told = ", ".join(f"{what} {report.number(took)} ms" for what, took in alone.items())
    return f"""`make bench-ceph` wrote this part on {report.today()}: {report.how(results)}
{server} runs as `breezeblock serve` on SQLite with the backend `rbd`; the peer, where there is one, with a pool of its own
on the same cluster (one monitor, one OSD on a file, no copies), and {server} then with the peer's Keystone and Glance. What
Ceph itself costs is in the times and not in the CPU. What a deletion leaves to be done behind its answer is in its CPU; nothing
else begins before that is done. "First" is the first volume of an image the server has not seen.
Of this cluster librbd alone takes: {told}; a clone of a volume needs a snapshot and a clone.

{report.table(results, server, peer, GOALS)}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds; 1 where a scenario failed."""
    options = command.parser("bench-ceph", __doc__, TESTS, rounds=3).parse_args(arguments)
    with command.workplace() as made, _pool() as pool:
        image_file = make_image(made)
        peer = command.peer_from(os.environ, image_file, options.repeat)
        with _embedded(made / "data", image_file, options.repeat, pool, peer) as embedded:
            subjects: list[Subject] = [embedded, *([peer] if peer else [])]
            results = measure(subjects, options.tests.split(","), options.rounds)
        alone = librbd.alone(pool.conf, pool.user, pool.pool)
    text = section(results, embedded.name, peer.name if peer else None, alone)
    return command.end(options, results, peer, title=TITLE, text=text, save=results.save)


if __name__ == "__main__":
    sys.exit(main())
