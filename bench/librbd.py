"""What Ceph itself takes: librbd asked for one thing after the other, on the cluster that is measured."""

import time
from collections.abc import Callable
from statistics import median

from breezeblock.drivers.rbd import binding

GIB = 1 << 30
TIMES = 11


def alone(conf: str, user: str, pool: str) -> dict[str, float]:
    """Milliseconds, medians: an image made, a snapshot of it, a clone of that, and an image removed."""
    rados, rbd = binding.load()
    with rados.Rados(rados_id=user, conffile=conf) as cluster, cluster.open_ioctx(pool) as io:
        images = rbd.RBD()

        def snapshot(number: int) -> None:
            with rbd.Image(io, f"bench-{number}") as image:
                image.create_snap("moment")

        def forget(number: int) -> None:
            images.remove(io, f"bench-clone-{number}")
            with rbd.Image(io, f"bench-{number}") as image:
                image.remove_snap("moment")

        figures = {
            "an image": _median(lambda number: images.create(io, f"bench-{number}", GIB, old_format=False)),
            "a snapshot": _median(snapshot),
            "a clone of it": _median(
                lambda number: images.clone(io, f"bench-{number}", "moment", io, f"bench-clone-{number}")
            ),
        }
        _median(forget)
        return {**figures, "a removal": _median(lambda number: images.remove(io, f"bench-{number}"))}


def _median(call: Callable[[int], object]) -> float:
    took = []
    for number in range(TIMES):
        began = time.perf_counter()
        call(number)
        took.append((time.perf_counter() - began) * 1000)
    return median(took)
