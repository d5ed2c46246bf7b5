"""A guest for tests: qemu and a kernel of Debian's packages, and an initrd of our own that goes on with a disk's system."""

import os
import subprocess
from pathlib import Path

import msgspec

from tests.processes import Server

PACKAGES = ("linux-image-cloud-amd64", "busybox-static")
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk")
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
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
        argv += [
            "-kernel",
            str(self.kernel),
            "-initrd",
            str(self.initrd),
            "-append",
            "console=ttyS0 quiet panic=-1 no_timer_check",
        ]
        argv += ["-serial", "stdio", *disk]
        with Server(argv, log) as qemu:
            assert qemu.wait(seconds) == 0, log.read_text(errors="replace")[-3000:]
        return log.read_text(errors="replace")


def install(cache: Path, script: str, beside: Path) -> Guest:
    """The guest whose system runs `script` in its bash and is then switched off. Packages are kept in `cache`."""
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
    _pack(tree, script, initrd)
    return Guest(kernel=kernel, initrd=initrd)


def _kernel_package() -> str:
    """The real package behind the one that only depends on it."""
    found = subprocess.run(["apt-cache", "depends", PACKAGES[0]], check=True, capture_output=True, text=True).stdout
    return next(line.split()[1] for line in found.splitlines() if "Depends:" in line)


def _pack(tree: Path, script: str, initrd: Path) -> None:
    root = initrd.with_suffix(".tree")
    for directory in ("bin", "dev", "proc", "root"):
        (root / directory).mkdir(parents=True)
    (root / "bin" / "busybox").write_bytes((tree / "bin" / "busybox").read_bytes())
    (root / "bin" / "busybox").chmod(0o755)
    for module in MODULES:
        (found,) = (tree / "lib" / "modules").rglob(f"{module}.ko")
        (root / f"{module}.ko").write_bytes(found.read_bytes())
    (root / "init").write_text(INIT % (" ".join(MODULES), script))
    (root / "init").chmod(0o755)
    with initrd.open("wb") as output:
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        command = [str(tree / "bin" / "busybox"), "cpio", "-o", "-H", "newc"]
        subprocess.run(command, check=True, cwd=root, input=names.encode(), stdout=output, stderr=subprocess.DEVNULL)
