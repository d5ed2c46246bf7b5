"""`python -m scripts.chaos`: see the package. The seed repeats the users' and the killer's choices, not what they meet."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from scripts.chaos.content import image_bytes
from scripts.chaos.killer import Killer
from scripts.chaos.proof import Proof
from scripts.chaos.site import Site
from scripts.chaos.users import Users
from tests import postgres

DATABASES = ("sqlite", "postgresql")


def images(site: Site, directory: Path) -> dict[str, tuple[str, int]]:
    """Three images of three disks: raw, qcow2, and one that has to be converted."""
    made = {}
    for seed, disk_format in enumerate(("raw", "qcow2", "vmdk"), start=1):
        raw, file = directory / "image.raw", directory / "image"
        raw.write_bytes(image_bytes(seed))
        options = ["-o", "subformat=streamOptimized"] if disk_format == "vmdk" else []
        argv: list[str | Path] = ["qemu-img", "convert", "-f", "raw", "-O", disk_format, *options, raw, file]
        subprocess.run(argv, check=True)
        made[disk_format] = (site.api.image(disk_format, disk_format, file.read_bytes()), seed)
    return made


def rage(database: str, given: argparse.Namespace) -> list[str]:
    """One run on one database; what is wrong after it."""
    print(f"\nchaos on {database} for {given.seconds:.0f} s, {given.users} users, seed {given.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="breezeblock-chaos-"))
    cluster = postgres.start() if database == "postgresql" else None
    site = Site(directory, cluster)
    try:
        site.start()
        users = Users(site, images(site, directory), given.seed)
        killer = Killer(site, given.seed)
        let_loose(users, killer, given)
        proof = Proof(site, users)
        began = time.monotonic()
        proof.settle()
        print(f"everything had ended {time.monotonic() - began:.1f} s after the last user", flush=True)
        tell(users, killer, proof)
        proof.look()
        site.stop()
        proof.look_at_processes()
        show("compared with what they must be", users.checked)
    finally:
        site.abort()
        if cluster:
            cluster.stop()
    wrong = [*users.wrong, *site.api.defects, *proof.wrong]
    print("\n".join(wrong) or "every operation has ended, and nothing is left", flush=True)
    if wrong:
        print(f"kept: {directory}")
    else:
        shutil.rmtree(directory)
    return wrong


def let_loose(users: Users, killer: Killer, given: argparse.Namespace) -> None:
    """Users and killer for so long; then the killer goes first, and everybody ends what they began."""
    threads = [threading.Thread(target=users.run, args=(number,), daemon=True) for number in range(given.users)]
    for thread in threads:
        thread.start()
    killer.run(given.seconds)  # in this thread: a PostgreSQL that it starts ends with the thread that started it
    users.over.set()
    for thread in threads:
        thread.join()


def tell(users: Users, killer: Killer, proof: Proof) -> None:
    """All that was counted."""
    show("kills", killer.kills)
    show("processes that ended", users.site.ends)
    show("requests repeated", users.api.repeated)
    show("outcomes", users.outcomes)
    show("refused", users.refused)
    show("operations", proof.operations())
    show("failed because", proof.failures())
    show("left", proof.statuses())


def show(what: str, counted: Counter[str]) -> None:
    """Print what was counted, one line each."""
    print(f"{what}: {counted.total()}")
    for name, number in sorted(counted.items()):
        print(f"  {number:6} {name}")
    sys.stdout.flush()


def main() -> int:
    """Run on each database in turn."""
    arguments = argparse.ArgumentParser(prog="python -m scripts.chaos", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, help="how long, on each database")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--users", type=int, default=50, help="how many things are done at once")
    arguments.add_argument("--database", choices=DATABASES, action="append", help="default: both, one after the other")
    given = arguments.parse_args()
    wrong = [one for database in given.database or DATABASES for one in rage(database, given)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
