"""Make the image `VSA` of the published walkthrough: a vhd file that holds a file system and incompressible filler.

    vsa_image.py OUT                  787 MB: a Debian system by debootstrap (root or sudo; about two minutes)
    vsa_image.py --megabytes 64 OUT   its sibling for tests: files of this machine's Python

The disk is 2 GiB, or four times the file where that is more. OUT is complete as soon as it is there.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

MIB = 1 << 20
SIZE = 787_726_336
"""Bytes of the walkthrough's own VSA; files of `LEAST` to `MOST` are like it."""
LEAST, MOST = 700_000_000, 850_000_000
DISK = 2 << 30
OVERHEAD = 16 * MIB
"""What the file system and the vhd add to the files, roughly."""
PIECE = 4 * MIB

Fill = Callable[[Path], None]


class BuildFailed(Exception):
    """The image cannot be made; the message says why."""


def build(target: Path, size: int, fill: Fill) -> None:
    """Write a vhd of about `size` bytes to `target`: what `fill` puts into an empty directory, and filler.

    Raises `BuildFailed`; nothing is left then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".vsa-", dir=target.parent, ignore_cleanup_errors=True) as made:
        tree, raw, vhd = Path(made, "tree"), Path(made, "disk.raw"), Path(made, "disk.vhd")
        tree.mkdir()
        try:
            fill(tree)
            _write_filler(tree, size - OVERHEAD - _bytes_below(tree))
            raw.touch()
            os.truncate(raw, max(DISK, 4 * size))
            _run([*_as_root(), "mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", "VSA", "-d", tree, raw])
            _run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", raw, vhd])
            vhd.rename(target)
        finally:
            _run([*_as_root(), "rm", "-rf", tree])


def debian(tree: Path, *packages: str) -> None:
    """Put a minimal Debian (or what this machine runs), and these packages, into the directory. Raises `BuildFailed`."""
    mirror, suite = _mirror()
    more = [f"--include={','.join(packages)}"] if packages else []
    _run([*_as_root(), "debootstrap", "--variant=minbase", *more, suite, tree, mirror])


def files_of_python(tree: Path) -> None:
    """Put this Python's standard library into the directory: some thousand files that every machine has."""
    library = Path(sysconfig.get_path("stdlib"))
    unwanted = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "test", "config-*")
    shutil.copytree(library, tree / "lib" / library.name, symlinks=True, ignore=unwanted)


def cached() -> Path:
    """The whole image in the user's cache, made there the first time. Raises `BuildFailed`."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = home / "breezeblock" / "VSA.vhd"
    if not target.exists():
        make_whole(target)
    return target


def make_whole(target: Path) -> None:
    """Make the walkthrough's image, 700 to 850 MB. Raises `BuildFailed`."""
    build(target, SIZE, debian)
    size = target.stat().st_size
    if not LEAST <= size <= MOST:
        target.unlink()
        raise BuildFailed(f"The image came out at {size} bytes, not at {LEAST} to {MOST}.")


def _mirror() -> tuple[str, str]:
    """The URI and the suite of this machine's system, as apt is configured."""
    suite = _os_release("VERSION_CODENAME")
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(RELEASE)", "Created-By: Packages"]
    for line in _run(asked).splitlines():
        uri, *names = line.split()
        if suite in names:
            return uri, suite
    raise BuildFailed(f"apt knows no mirror of {suite}: nothing in /etc/apt/sources.list* names it.")


def _os_release(key: str) -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == key:
            return value.strip('"')
    raise BuildFailed(f"/etc/os-release says no {key}; debootstrap needs a Debian or its like.")


def _bytes_below(tree: Path) -> int:
    """Bytes that the files take on a file system. A directory of the system may be closed to all but root."""
    kib = _run([*_as_root(), "du", "-sk", tree]).split()[0]
    return int(kib) << 10


def _write_filler(tree: Path, size: int) -> None:
    """Random bytes in `tree/filler`, so that nothing on the way gets by with compressing."""
    if size < 0:
        raise BuildFailed(f"The files are {-size} bytes larger than the image may become.")
    with tempfile.NamedTemporaryFile(dir=tree.parent) as filler:
        for start in range(0, size, PIECE):
            filler.write(os.urandom(min(PIECE, size - start)))
        filler.flush()
        _run([*_as_root(), "cp", "--reflink=auto", filler.name, tree / "filler"])


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


def _run(argv: Sequence[str | Path]) -> str:
    """Run a program and return what it printed. Raises `BuildFailed` with the end of what it complained."""
    sbin = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin", "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, env=sbin, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BuildFailed(f"{argv[0]} is not installed; make setup installs it.") from error
    if done.returncode:
        tail = (done.stderr or done.stdout)[-1500:].strip()
        raise BuildFailed(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{tail}")
    return done.stdout


def main() -> int:
    """The command; 1 where the image could not be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, metavar="OUT")
    parser.add_argument("--megabytes", type=int, help="make the sibling of about so many MB instead")
    options = parser.parse_args()
    try:
        if options.megabytes is None:
            make_whole(options.target.absolute())
        else:
            build(options.target.absolute(), options.megabytes * 1_000_000, files_of_python)
    except (BuildFailed, OSError) as error:
        print(f"vsa_image: {error}", file=sys.stderr)
        return 1
    print(f"{options.target}: {options.target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
