"""An iSCSI initiator of a real client: QEMU's, which is libiscsi's."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from breezeblock.drivers.conformance.storage import for_qemu

OURS = "iqn.1993-08.org.debian:01:ours"


@contextlib.contextmanager
def session(
    data: Mapping[str, Any], *orders: str, initiator: str = OURS, chap: bool = True, options: Sequence[str] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """A qemu-io on the target that the `data` of a connection_info tells of. It carries out `orders`, or those that it reads.

    It is killed at the end of the block.
    """
    told = {key: value for key, value in data.items() if chap or not key.startswith("auth_")}
    with for_qemu({"driver_volume_type": "iscsi", "data": told}, initiator) as image:
        argv = ["qemu-io", *options, *(word for order in orders for word in ("-c", order)), *image]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def io(data: Mapping[str, Any], *orders: str, **how: Any) -> str:
    """What qemu-io says to these orders; `how` is as in `session`."""
    with session(data, *orders, **how) as process:
        told, _ = process.communicate(timeout=60)
        return told


def said(process: "subprocess.Popen[str]", order: str, answer: str) -> None:
    """Give a session an order, if any, and wait until it has answered."""
    assert process.stdin is not None
    assert process.stdout is not None
    if order:
        print(order, file=process.stdin, flush=True)
    told = ""
    while answer not in told:
        piece = process.stdout.readline()
        assert piece, f"it ended, and said: {told}"
        told += piece
