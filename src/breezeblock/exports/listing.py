"""What is exported, asked of the servers as any client may (NBD_OPT_LIST), or of the kernel where it is a file: takes nothing
over and changes nothing."""

import re
import socket
import struct
from pathlib import Path

from breezeblock.errors import BackendTransient
from breezeblock.exports.daemon import FILES

TIMEOUT_SECONDS = 10.0
INIT_MAGIC, OPTION_MAGIC, REPLY_MAGIC = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPTION_ABORT, OPTION_LIST = 2, 3
REPLY_ACK, REPLY_SERVER = 1, 2


def exported_names(run_dir: Path) -> list[str]:
    """The names that the daemons with sockets `*.nbd` in `run_dir` export now; a dead one exports nothing.

    Raises `BackendTransient` where a server is there and does not answer.
    """
    names: list[str] = []
    files = _mounted_in(run_dir / FILES)
    for path in sorted(run_dir.glob("*.nbd")):
        try:
            names += _names(path)
            names += [name for token, _, name in files if token == path.stem]
        except (FileNotFoundError, ConnectionRefusedError):
            continue  # it has ended
        except (OSError, struct.error) as error:
            raise BackendTransient(f"The export server at {path} does not say what it exports: {error}") from error
    return sorted(names)


def _mounted_in(directory: Path) -> list[tuple[str, str, str]]:
    """The names of what is mounted on files of a directory, at their first dashes (proc_pid_mountinfo(5))."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    paths = (Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)) for point in points)
    return [path.name.partition("-") for path in paths if path.parent == directory.absolute()]


def _names(path: Path) -> list[str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(TIMEOUT_SECONDS)
        server.connect(str(path))
        stream = server.makefile("rwb")
        greeting = stream.read(18)
        if greeting[:8] != INIT_MAGIC or greeting[8:16] != OPTION_MAGIC:
            raise OSError("it is no NBD server")
        stream.write(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
        stream.write(OPTION_MAGIC + struct.pack(">II", OPTION_LIST, 0))
        stream.flush()
        names = []
        while True:
            magic, _, kind, length = struct.unpack(">QIII", stream.read(20))
            body = stream.read(length)
            if magic != REPLY_MAGIC or kind not in {REPLY_ACK, REPLY_SERVER}:
                raise OSError(f"it answered with {kind:#x}")
            if kind == REPLY_ACK:
                break
            (size,) = struct.unpack(">I", body[:4])
            names.append(body[4 : 4 + size].decode())
        stream.write(OPTION_MAGIC + struct.pack(">II", OPTION_ABORT, 0))
        stream.flush()
        stream.close()
        return names
