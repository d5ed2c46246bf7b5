"""A guest for tests: qemu and a kernel of Debian's packages, and an initrd of our own that goes on with a disk's system."""

import contextlib
import os
import re
import secrets
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.processes import Server

PACKAGES = ("linux-image-cloud-amd64", "busybox-static")
MODULES = ("virtio_pci", "virtio_blk")
"""What a guest needs to find its disk; what these depend on comes before them."""
UP = "THE SHELL IS UP"
SHELL = f"stty -echo; echo {UP}; exec env PS1= PS2= bash --norc --noprofile --noediting 2>&1"
"""The end of a guest's script that leaves a shell on its serial line."""
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in %s; do /bin/busybox insmod /$module.ko; done
/bin/busybox mount -t ext4 /dev/vda /root || /bin/busybox poweroff -f
/bin/busybox mount --move /dev /root/dev
/bin/busybox mount --move /proc /root/proc
exec /bin/busybox switch_root /root /bin/bash -c '%s'
"""


class Guest(msgspec.Struct, frozen=True):
    """Kernel and initrd; `boot` runs them on a disk."""

    kernel: Path
    initrd: Path

    def boot(self, uri: str, log: Path, seconds: float = 600) -> str:
        """Boot from an NBD export under TCG, to the end; what the guest printed."""
        return self.boot_from(["-drive", f"file={uri},format=raw,if=virtio"], log, seconds)

    def boot_from(self, disk: list[str], log: Path, seconds: float = 600) -> str:
        """Boot from what these arguments of QEMU make its first virtio disk."""
        with Server(self._argv(disk), log) as qemu:
            assert qemu.wait(seconds) == 0, log.read_text(errors="replace")[-3000:]
        return log.read_text(errors="replace")

    @contextlib.contextmanager
    def console(self, devices: list[str]) -> Iterator["Console"]:
        """Have the guest run in the block, its first virtio disk and whatever else these arguments of QEMU make."""
        argv = ["setpriv", "--pdeathsig", "KILL", *self._argv(devices)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as qemu:
            try:
                console = Console(qemu)
                console.begin()
                yield console
            finally:
                qemu.kill()

    def _argv(self, devices: list[str]) -> list[str]:
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
        argv += ["-kernel", str(self.kernel), "-initrd", str(self.initrd)]
        argv += ["-append", "console=ttyS0 quiet panic=-1 no_timer_check"]
        return [*argv, "-serial", "stdio", *devices]


class Console:
    """A shell of a guest, on its serial line."""

    def __init__(self, qemu: "subprocess.Popen[bytes]") -> None:
        self._qemu = qemu
        self._read = b""

    def begin(self) -> None:
        """Wait until the guest is up; its script has to end in `SHELL`."""
        self.wait_for(UP)

    def run(self, command: str, seconds: float = 120, *, code: int = 0) -> str:
        """What a command printed, which has to end with `code`."""
        assert self._qemu.stdin is not None
        mark = secrets.token_hex(4)
        # the mark is not in what the line may echo
        self._qemu.stdin.write(f"{command}; echo {mark[:4]}'{mark[4:]}' $?\n".encode())
        self._qemu.stdin.flush()
        told, ended = self._until(rf"{mark} (\d+)\r?\n", seconds)
        assert int(ended) == code, f"{command} ended with {ended}: {told}"
        return told

    def wait_for(self, pattern: str, seconds: float = 300) -> str:
        """Wait until the guest prints what matches; what it printed before that."""
        return self._until(f"({pattern})", seconds)[0]

    def _until(self, pattern: str, seconds: float) -> tuple[str, str]:
        assert self._qemu.stdout is not None
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern.encode(), self._read)):
            waiting = select.select([self._qemu.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            piece = os.read(self._qemu.stdout.fileno(), 65536) if waiting else b""
            assert piece, (
                f"The guest does not say {pattern} within {seconds} s: {self._read[-3000:].decode(errors='replace')}"
            )
            self._read += piece
        before, self._read = self._read[: found.start()], self._read[found.end() :]
        return before.decode(errors="replace").replace("\r\n", "\n"), found[1].decode()


def install(cache: Path, script: str, beside: Path, modules: Sequence[str] = ()) -> Guest:
    """The guest whose system runs `script` in its bash and is then switched off, with these modules of the kernel beside its
    own. Packages are kept in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["which", "qemu-system-x86_64"], capture_output=True, check=False).returncode:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        options = ["-o", "DPkg::Lock::Timeout=600", "-qq"]
        command = ["apt-get", *options, "install", "-y", "--no-install-recommends", "qemu-system-x86"]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    tree = cache / "tree"
    if not tree.exists():
        unpacked = cache / "tree.new"
        subprocess.run(["apt-get", "-qq", "download", _kernel_package(), PACKAGES[1]], check=True, cwd=cache)
        for package in cache.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, unpacked], check=True)
            package.unlink()
        unpacked.rename(tree)
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    initrd = beside / "initrd"
    _pack(tree, script, initrd, _with_needed(tree, [*MODULES, *modules]))
    return Guest(kernel=kernel, initrd=initrd)


def _kernel_package() -> str:
    """The real package behind the one that only depends on it."""
    found = subprocess.run(["apt-cache", "depends", PACKAGES[0]], check=True, capture_output=True, text=True).stdout
    return next(line.split()[1] for line in found.splitlines() if "Depends:" in line)


def _with_needed(tree: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files of modules, each after those that it says it depends on."""
    files = {path.stem.replace("-", "_"): path for path in (tree / "lib" / "modules").rglob("*.ko")}
    found: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in found:
            return
        depends = re.search(rb"depends=([^\0]*)\0", files[name].read_bytes())
        for needed in filter(None, depends[1].decode().split(",") if depends else ()):
            add(needed.replace("-", "_"))
        found[name] = files[name]

    for name in names:
        add(name)
    return found


def _pack(tree: Path, script: str, initrd: Path, modules: dict[str, Path]) -> None:
    root = initrd.with_suffix(".tree")
    for directory in ("bin", "dev", "proc", "root"):
        (root / directory).mkdir(parents=True)
    (root / "bin" / "busybox").write_bytes((tree / "bin" / "busybox").read_bytes())
    (root / "bin" / "busybox").chmod(0o755)
    for name, file in modules.items():
        (root / f"{name}.ko").write_bytes(file.read_bytes())
    (root / "init").write_text(INIT % (" ".join(modules), script))
    (root / "init").chmod(0o755)
    with initrd.open("wb") as output:
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        command = [str(tree / "bin" / "busybox"), "cpio", "-o", "-H", "newc"]
        subprocess.run(command, check=True, cwd=root, input=names.encode(), stdout=output, stderr=subprocess.DEVNULL)
