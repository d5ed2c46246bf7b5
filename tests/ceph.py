"""A real Ceph for tests: one monitor, one manager, one OSD on a file, cephx on; started once a run, and wiped with it.

The users and their rights are those of the Ceph manual's page for OpenStack. It listens on loopback alone.
"""

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Self

from tests.processes import Server

PACKAGES = (
    "ceph-mon ceph-mgr ceph-osd ceph-common python3-rbd python3-rados qemu-block-extra qemu-utils qemu-system-common"
).split()
POOLS = ("volumes", "others", "images")
SECONDS = 90
SIZE = 20 << 30

CONF = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port},v1:127.0.0.1:{legacy}]
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
keyring = {home}/ceph.$name.keyring
run_dir = {home}/run
admin_socket = {home}/run/$name.$pid.asok
log_file = {home}/log/$name.log
crash_dir = {home}/log
mon_cluster_log_file = {home}/log/cluster.log
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
[client]
log_file =
admin_socket =
[mon]
mon_data = {home}/mon
mon_allow_pool_delete = true
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_osd_initial_require_min_compat_client = mimic
mon_max_pg_per_osd = 1000
# a monitor refuses a disk of which less than this is free, in percent: 2 GiB of a large one are enough for tests
mon_data_avail_warn = -1
mon_data_avail_crit = -1
# one monitor has nobody to wait for: a change of a map costs 10 ms, not 1 s
paxos_propose_interval = 0.01
paxos_min_wait = 0.01
mon_tick_interval = 1
mon_mgr_digest_period = 1
mon_osd_full_ratio = 0.96
mon_osd_nearfull_ratio = 0.94
mon_osd_backfillfull_ratio = 0.95
[osd]
osd_data = {home}/osd
osd_objectstore = bluestore
bluestore_block_size = {size}
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_cache_autotune = false
bluestore_cache_size = 268435456
bluestore_fsck_quick_fix_on_mount = false
bluestore_fsck_on_mkfs = false
osd_memory_target = 1073741824
osd_class_load_list = *
osd_class_default_list = *
osd_mclock_skip_benchmark = true
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 2
osd_max_object_name_len = 460
osd_max_object_namespace_len = 64
[mgr]
mgr_data = {home}/mgr
mgr_initial_modules =
mgr_tick_period = 1
mgr_stats_period = 1
"""

ALL = "allow *"
USERS = {
    "mon.": {"mon": ALL},
    "client.admin": {"mon": ALL, "osd": ALL, "mgr": ALL},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": ALL},
    "mgr.x": {"mon": "allow profile mgr", "osd": ALL},
    "client.cinder": {
        "mon": "profile rbd",
        "mgr": "profile rbd pool=volumes, profile rbd pool=others",
        "osd": "profile rbd pool=volumes, profile rbd pool=others, profile rbd-read-only pool=images",
    },
    "client.glance": {"mon": "profile rbd", "mgr": "profile rbd pool=images", "osd": "profile rbd pool=images"},
}


class Ceph:
    """A running cluster; a context manager that ends it and removes all of it."""

    def __init__(self) -> None:
        install()
        # a Unix socket's path has at most 107 bytes
        self.home = Path(tempfile.mkdtemp(prefix="ceph-", dir="/tmp"))
        self.conf = self.home / "ceph.conf"
        self.fsid = str(uuid.uuid4())
        self._daemons: dict[str, Server] = {}
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the daemons, also those that are stopped, and remove everything."""
        for name in ("osd", "mgr", "mon"):
            if name in self._daemons:
                self.kill(name)
        shutil.rmtree(self.home, ignore_errors=True)

    def run(self, *argv: str | Path, user: str = "admin", stdin: str = "") -> str:
        """What a command of Ceph's (`ceph`, `rbd`, `rados`) prints."""
        program, *arguments = map(str, argv)
        command = [program, "-c", str(self.conf), "--id", user, *arguments]
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{error}\n{self._state()}") from error
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
        return done.stdout

    def told(self, *argv: str) -> Any:
        """The same, told as JSON."""
        return json.loads(self.run(*argv, "--format", "json"))

    def images(self, pool: str) -> list[str]:
        """The names of all images in a pool."""
        names: list[str] = self.told("rbd", "ls", pool)
        return names

    def wait_for_images(self, pool: str, *names: str) -> None:
        """Until a pool has these images and no others: what is deleted is removed behind the verbs."""
        self._wait(lambda: sorted(self.images(pool)) == sorted(names), f"images in {pool} as expected: {names}")

    def wipe(self, pool: str) -> None:
        """Remove all that is in a pool: by a new one of its name where anything is."""
        if self.images(pool):
            self.run("ceph", "osd", "pool", "delete", pool, pool, "--yes-i-really-really-mean-it")
            self._make_pools(pool)
            self.wait_for_capacity()

    def stop(self, name: str) -> None:
        """Let a daemon (`mon`, `osd`, `mgr`) hang."""
        os.kill(self._daemons[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let it go on."""
        os.kill(self._daemons[name].pid, signal.SIGCONT)

    def kill(self, name: str) -> None:
        """End a daemon as a crash would."""
        self._daemons.pop(name).kill()

    def start(self, name: str) -> None:
        """Start a daemon, anew where it was killed."""
        identity = {"mon": "a", "mgr": "x", "osd": "0"}[name]
        argv = [f"ceph-{name}", "-c", str(self.conf), "-i", identity, "-f"]
        self._daemons[name] = Server(argv, self.home / "log" / f"{name}.out")

    def wait_for_capacity(self) -> None:
        """Until `ceph df` knows the pools' room, some seconds after a start."""

        def known() -> bool:
            rooms = {pool["name"]: pool["stats"].get("max_avail") for pool in self.told("ceph", "df")["pools"]}
            return all(rooms.get(pool) for pool in POOLS)

        self._wait(known, "capacity")

    def wait_for_osd(self) -> None:
        """Until the OSD takes part."""
        self._wait(lambda: self.told("ceph", "osd", "stat")["num_up_osds"] == 1, "OSD")

    def _make(self) -> None:
        for directory in ("mon", "osd", "mgr", "log", "run"):
            (self.home / directory).mkdir(mode=0o700)
        port = _free_pair()
        self.conf.write_text(
            CONF.format(fsid=self.fsid, port=port, legacy=port + 1, home=self.home, size=SIZE), encoding="ascii"
        )
        every = self._write_keyrings()
        monmap, osd_id = self.home / "monmap", str(uuid.uuid4())
        address = f"[v2:127.0.0.1:{port},v1:127.0.0.1:{port + 1}]"
        _run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, monmap)
        making: list[str | Path] = ["-c", self.conf, "--mkfs", "--monmap", monmap]
        _run("ceph-osd", *making, "-i", "0", "--osd-uuid", osd_id, "--no-mon-config")
        _run("ceph-mon", *making, "-i", "a", "--keyring", every)
        self.start("mon")
        self.run("ceph", stdin=f"osd new {osd_id} 0\n")
        self.start("osd")
        self.start("mgr")
        self.wait_for_osd()
        self._make_pools(*POOLS)
        self.wait_for_capacity()

    def _make_pools(self, *pools: str) -> None:
        orders = [f"osd pool create {pool} 8 8\nosd pool application enable {pool} rbd" for pool in pools]
        self.run("ceph", stdin="\n".join(orders) + "\n")
        for pool in pools:
            self.run("rbd", "pool", "init", pool)

    def _write_keyrings(self) -> Path:
        """One keyring for each user, and one with all, which the monitor begins with."""
        every = ""
        for name, rights in USERS.items():
            secret = struct.pack("<hiih", 1, int(time.time()), 0, 16) + secrets.token_bytes(16)
            entry = f"[{name}]\n\tkey = {base64.b64encode(secret).decode()}\n"
            _write(self.home / f"ceph.{name}.keyring", entry)
            every += entry + "".join(f'\tcaps {kind} = "{right}"\n' for kind, right in rights.items())
        _write(self.home / "all.keyring", every)
        return self.home / "all.keyring"

    def _wait(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"Ceph has no {what} after {SECONDS} s\n{self._state()}"
            time.sleep(0.3)

    def _state(self) -> str:
        """What the daemons do and said last, for the message of a failure: the logs are removed with the cluster."""
        free = shutil.disk_usage(self.home).free >> 20
        told = [f"{free} MiB are free on the disk"]
        for name, daemon in self._daemons.items():
            told.append(f"{name} {'has ended' if daemon.has_ended else 'runs'}: {daemon.tail()}")
        return "\n".join(told)


def install() -> None:
    """Ceph's packages, where they are missing."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *PACKAGES]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    missing = [package for package in PACKAGES if f"{package} installed" not in listed]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "-qq"]
        for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            subprocess.run([*apt, *command], check=True, env=environment, stdout=subprocess.DEVNULL)


def _run(*argv: str | Path) -> None:
    done = subprocess.run([str(one) for one in argv], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{argv[0]}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


def _write(path: Path, text: str) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)


def _free_pair() -> int:
    """Two ports side by side that nobody listens on, below those that the kernel gives to clients."""
    while True:
        port = 10000 + 2 * secrets.randbelow(10000)
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port
        except OSError:
            continue
