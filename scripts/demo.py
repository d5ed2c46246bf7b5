"""`make demo`: what the service does, on real data, from its start to its end.

It makes a volume of each of the six sources, and the published walkthrough's own: the image `VSA` becomes the volume
`zd2` on `jenkins@DS01#DS02`. Each is explained, opened over NBD and compared with what it was made of; then all is
deleted. Ends with 1 at the first thing that is not as it should be.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from breezeblock.cli.explain import walk
from breezeblock.errors import BreezeblockError
from scripts import vsa_image
from scripts.service import Service, ServiceFailed, files_left

ROOT = Path(__file__).resolve().parents[1]
LOG_WIDTH = 150
"""Columns of the tables where the output is no terminal."""
ISO = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
CONFIGURATION = """
[DEFAULT]
enabled_backends = directory, DS01
replica_refresh_interval = 1

# the embedded default, and a second directory for the replicas of source_replica
[directory]
replication_device = {data_dir}/replicas

# the walkthrough's backend: volumes of the type DS01 lie on jenkins@DS01#DS02; without a cache, all rungs are climbed
[DS01]
backend_host = jenkins
pool_name = DS02
directory_path = {data_dir}/DS01
image_volume_cache_enabled = false
"""


class Demo:
    """The running story: the service, the console, and how long each step took."""

    def __init__(self, service: Service, console: Console) -> None:
        self.service = service
        self.console = console
        self.took: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Name a step and time it."""
        self.console.rule(f"[bold]{title}", align="left")
        started = time.monotonic()
        yield
        self.took.append((title, time.monotonic() - started))

    def import_image(self, name: str, file: Path, disk_format: str, **properties: str) -> str:
        """Give the image API a file, with a progress bar, and return the image's id."""
        image_id = self.service.image(name, disk_format, **properties)
        size = file.stat().st_size
        with (
            self._progress() as progress,
            progress.open(file, "rb", description=f"image {name} ({disk_format})") as data,
        ):
            self.service.upload(image_id, data, size)
        return image_id

    def make(self, kind: str, **fields: object) -> str:
        """Make a volume, snapshot or backup, watch its operation until it has ended, and return its id."""
        made = self.service.create(kind, **fields)
        self._watch(made, f"{kind} {fields['name']}")
        return made

    def make_volume(self, **fields: object) -> str:
        """As `make`, and print the walk."""
        volume_id = self.make("volume", **fields)
        for operation in self.service.client.call("GET", f"/operations?resource_id={volume_id}")["operations"]:
            if operation["kind"] == "create_volume":
                self.console.print(walk(operation))
        return volume_id

    def compare(self, volume: str, image: Path, image_format: str) -> None:
        """Open a volume over NBD and compare all of it with an image. Raises `ServiceFailed` where they differ."""
        with self.service.connected(volume) as uri:
            run("qemu-img", "compare", "-q", "-f", image_format, "-F", "raw", image, uri)
            self.console.print(f"[green]same[/] {volume} at {uri} and {image.name}", soft_wrap=True)

    def print_times(self) -> None:
        """The table of all steps."""
        table = Table(title="How long it took", title_justify="left")
        table.add_column("step")
        table.add_column("seconds", justify="right")
        for title, seconds in self.took:
            table.add_row(title, f"{seconds:.2f}")
        table.add_section()
        table.add_row("all", f"{sum(seconds for _, seconds in self.took):.2f}")
        self.console.print(table)

    def _watch(self, resource_id: str, what: str) -> None:
        with self._progress() as progress:
            bar = progress.add_task(what, total=None)
            for operation in self.service.watch(resource_id):
                done, total = operation["bytes_done"], operation["bytes_total"]
                if operation["state"] == "succeeded":
                    # what moves no bytes has a bar all the same: full at its end
                    progress.update(bar, description=f"{what}: done", completed=total or 1, total=total or 1)
                else:
                    progress.update(bar, description=f"{what}: {operation['step']}", completed=done, total=total)

    def _progress(self) -> Progress:
        columns = (
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        return Progress(*columns, console=self.console)


def six_sources(demo: Demo, images: Path) -> None:
    """A volume of each source; all but the raw one hold what the ISO holds."""
    formats = {"iso": ("raw", ISO), "qcow2": ("qcow2", images / "grub.qcow2"), "vhd": ("vpc", images / "grub.vhd")}
    with demo.step("turn the ISO of grub-rescue-pc into qcow2 and vhd"):
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", ISO, formats["qcow2"][1])
        run("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", ISO, formats["vhd"][1])
    with demo.step("import the images"):
        ids = {name: demo.import_image(f"grub-{name}", file, name) for name, (_, file) in formats.items()}
    with demo.step("source raw: an empty volume"):
        demo.make_volume(name="raw", size=1)
    for name, image_id in ids.items():
        with demo.step(f"source image: a volume of the {name}"):
            made = demo.make_volume(name=f"of-{name}", size=1, imageRef=image_id, volume_type="replicated")
    with demo.step("source snap: a volume of a snapshot"):
        snapshot_id = demo.make("snapshot", name="before", volume_id=made)
        demo.make_volume(name="of-snapshot", snapshot_id=snapshot_id)
    with demo.step("source source_vol: a clone"):
        demo.make_volume(name="of-volume", source_volid=made)
    with demo.step("source source_replica: a volume of the replica"):
        demo.console.print(f"the replica was in step at {demo.service.wait_for_replica(made)}")
        demo.make_volume(name="of-replica", source_replica=made)
    with demo.step("source backup: a volume of a backup"):
        backup_id = demo.make("backup", name="kept", volume_id=made)
        demo.make_volume(name="of-backup", size=1, backup_id=backup_id)
    with demo.step("open them over NBD and compare"):
        for name, (image_format, file) in formats.items():
            demo.compare(f"of-{name}", file, image_format)
        for name in ("of-snapshot", "of-volume", "of-replica", "of-backup"):
            demo.compare(name, ISO, "raw")


def walkthrough(demo: Demo) -> None:
    """The published walkthrough's own example."""
    with demo.step("the walkthrough's image VSA (made once, by debootstrap)"):
        with demo.console.status("debootstrap, mke2fs, qemu-img: about two minutes the first time"):
            vsa = vsa_image.cached()
        demo.console.print(f"{vsa}: {vsa.stat().st_size} bytes")
    with demo.step("import VSA"):
        image_id = demo.import_image("VSA", vsa, "vhd", os_distro="debian", os_type="Linux")
    with demo.step("the walkthrough: VSA becomes zd2 on jenkins@DS01#DS02"):
        demo.make_volume(name="zd2", size=10, imageRef=image_id, volume_type="DS01")
        host = demo.service.client.call("GET", "/volumes/detail?name=zd2")["volumes"][0]["os-vol-host-attr:host"]
        if host != "jenkins@DS01#DS02":
            raise ServiceFailed(f"zd2 lies on {host}.")
    with demo.step("open zd2 over NBD and compare"):
        demo.compare("zd2", vsa, "vpc")


def delete_everything(demo: Demo) -> None:
    """Delete in an order that no rule forbids, through the API, and look whether anything is left. Raises `ServiceFailed`."""
    service, call = demo.service, demo.service.client.call
    for kind in ("backups", "snapshots", "volumes"):
        for one in call("GET", f"/{kind}?all_tenants=1")[kind]:
            call("DELETE", f"/{kind}/{one['id']}")
        service.wait_until_none(kind)
    for image_id in service.image_ids():
        service.delete_image(image_id)
    left = files_left(service.data_dir)
    if left:
        raise ServiceFailed(f"All is deleted, but these files are left: {', '.join(map(str, left))}")


def story(demo: Demo, images: Path) -> None:
    """The whole demo but for its start and end."""
    with demo.step("start the service"):
        demo.service.wait_until_up()
        demo.console.print(f"http://{demo.service.address}/v3, its state in {demo.service.data_dir}")
    specs = {"replicated": {"replication_enabled": "<is> True"}, "DS01": {"volume_backend_name": "DS01"}}
    for name, extra_specs in specs.items():
        demo.service.create("type", name=name, extra_specs=extra_specs)
    six_sources(demo, images)
    walkthrough(demo)
    with demo.step("delete everything"):
        delete_everything(demo)


def run(*argv: str | Path) -> None:
    """Run a program. Raises `ServiceFailed` with what it printed."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ServiceFailed(f"{argv[0]} is not installed; make setup installs it.") from error
    if done.returncode:
        said = (done.stderr + done.stdout).strip() or f"exit code {done.returncode}"
        raise ServiceFailed(f"{' '.join(map(str, argv))}: {said}")


def main() -> int:
    """Run the demo in a directory of its own, which is kept where it fails."""
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    (ROOT / ".demo").mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=ROOT / ".demo"))
    data_dir, images = home / "data", home / "images"
    data_dir.mkdir(mode=0o700)
    images.mkdir()
    (data_dir / "breezeblock.conf").write_text(CONFIGURATION.format(data_dir=data_dir))
    try:
        with Service(data_dir) as service:
            demo = Demo(service, console)
            story(demo, images)
            stopping = time.monotonic()
        demo.took.append(("stop the service", time.monotonic() - stopping))
    except (ServiceFailed, BreezeblockError, vsa_image.BuildFailed, OSError) as error:
        console.print("[bold red]The demo failed:[/]", escape(str(error)), soft_wrap=True)
        console.print(f"The service's log and state are in {home}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print(f"Interrupted; the service is stopped. Its log and state are in {home}", soft_wrap=True)
        return 130
    demo.print_times()
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
