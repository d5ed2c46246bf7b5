"""The figures as tables."""

import os
from collections.abc import Mapping

import msgspec

from bench.image_path.ways import Cost
from bench.report import row, today

ADOPTED = {"qcow2 adopted": 1.5, "qcow2 zlib adopted": 4, "qcow2 zstd adopted": 2.5}
LIMITED = {"qcow2 zlib": 1.3, "vmdk": 1.3, "vhd": 1.15}
GOALS = {
    ("unlimited", "ext4"): {"raw": 2.5, "vhd": 1.8, "vmdk": 1.2, "qcow2": 0.85, "qcow2 zlib": 0.85, "qcow2 zstd": 0.85}
    | ADOPTED,
    ("unlimited", "xfs"): {"raw": 2.0, "vhd": 1.8, "vmdk": 1.05, "qcow2": 0.85, "qcow2 zlib": 0.85, "qcow2 zstd": 0.85}
    | ADOPTED,
    ("100 MB/s", "ext4"): LIMITED,
    ("100 MB/s", "xfs"): LIMITED,
}
"""How many times faster than Cinder's way, neither verified."""
MOST_OF_FLOOR = 1.3
MOST_OF_HASH = 1.15
"""Of the larger of the copy alone and the hash alone, where it is verified."""
MOST_WRITTEN = 1.05
MOST_MEMORY = 200 << 20


class Row(msgspec.Struct):
    """Medians of one image in one setting; sizes in bytes."""

    format: str
    filesystem: str
    network: str
    verified: bool
    size: int
    sent: int
    data: int
    hash_seconds: float
    costs: dict[str, Cost]

    @property
    def floor(self) -> float:
        """Seconds."""
        return max(self.costs["read_floor"].wall, self.costs["write_floor"].wall)


def table(rows: list[Row], unverified: Mapping[str, Cost] | None = None) -> str:
    """Markdown. `unverified` is what each image costs ours where it is not verified."""
    head = ["image", "s", "CPU s", "written", "Cinder's way s", "CPU s", "written", "times faster", "of the floor"]
    lines = [row([*head, "memory MiB", "fetched", "goal", ""]), row(["---", *["---:"] * 10, "---", "---"])]
    for one in rows:
        ours, theirs = one.costs["ours"], one.costs["cinder"]
        times = theirs.wall / ours.wall
        figures = [f"{ours.wall:.2f}", f"{ours.cpu:.2f}", f"{ours.written / one.data:.2f}"]
        figures += [f"{theirs.wall:.2f}", f"{theirs.cpu:.2f}", f"{theirs.written / one.data:.2f}"]
        figures += [
            f"{times:.2f}",
            f"{ours.wall / one.floor:.2f}",
            f"{ours.memory >> 20}",
            f"{one.sent / one.size:.3f}",
        ]
        lines.append(row([one.format, *figures, *_judge(one, times, (unverified or {}).get(one.format))]))
    return "\n".join(lines)


def verdict(rows: list[Row], others: list[str]) -> str:
    """One line: which goals were missed."""
    alone = {(one.filesystem, one.network, one.format): one.costs["ours"] for one in rows if not one.verified}
    missed = []
    for one in rows:
        times = one.costs["cinder"].wall / one.costs["ours"].wall
        judged = _judge(one, times, alone.get((one.filesystem, one.network, one.format)))[1]
        if judged != "met":
            setting = f"{one.filesystem}, {one.network}{', verified' if one.verified else ''}"
            missed.append(f"{one.format} ({setting}): {judged.removeprefix('missed: ')}")
    return "All goals are met." if not missed + others else f"Goals missed: {'; '.join(missed + others)}."


def _judge(one: Row, times: float, unverified: Cost | None) -> list[str]:
    goals = {} if one.verified else GOALS.get((one.network, one.filesystem), {})
    wanted, missed = [], []
    if one.format in goals:
        wanted.append(f"{goals[one.format]} times")
        if times < goals[one.format]:
            missed.append("speed")
    if one.network != "unlimited" and not one.verified:
        wanted.append(f"{MOST_OF_FLOOR} of the floor")
        if one.costs["ours"].wall > MOST_OF_FLOOR * one.floor:
            missed.append("floor")
    if one.verified and unverified is not None:
        most = MOST_OF_HASH * max(unverified.wall, one.hash_seconds)
        # no scheduler shares copy and hash out better
        least = max(one.hash_seconds, (unverified.cpu + one.hash_seconds) / (os.cpu_count() or 1))
        wanted.append(f"{most:.2f} s ({least:.2f})")
        if one.costs["ours"].wall > most:
            missed.append("beside the hash")
    if one.costs["ours"].written > MOST_WRITTEN * one.data:
        missed.append("written")
    if one.costs["ours"].memory > MOST_MEMORY:
        missed.append("memory")
    return [", ".join(wanted), f"missed: {', '.join(missed)}" if missed else "met"]


def section(rows: list[Row], rounds: int) -> str:
    """The part of BENCHMARKS.md."""
    parts = [
        f"""`make bench-image` wrote this part on {today()}: medians of {rounds} rounds in which the ways take turns. The image is a Debian
system on a disk of 4 GiB, sent over HTTP from memory. Ours goes from the image service into a volume of the directory
backend; Cinder's way is what Cinder 29 does: a temporary file, `qemu-img info`, `qemu-img convert`, and here an
fdatasync, which Cinder leaves out. Both end on stable storage. "Written" is in parts of the disk's data; the floor is
the larger of reading the image once and writing its data once; a verified image may take {MOST_OF_HASH} times as long as the
longer of the copy without the hash and the hash without the copy (in brackets: what copy and hash take at least on
{os.cpu_count()} processors, by the CPU seconds of both); goals for memory (200 MiB) and bytes written (1.05) hold everywhere."""
    ]
    settings = list(dict.fromkeys((one.filesystem, one.network, one.verified) for one in rows))
    for setting in settings:
        filesystem, network, verified = setting
        name = f"{filesystem}, network {network}, {'sha512 verified' if verified else 'not verified'}"
        chosen = [one for one in rows if (one.filesystem, one.network, one.verified) == setting]
        alone = [one for one in rows if (one.filesystem, one.network, one.verified) == (filesystem, network, False)]
        parts += [f"### {name}", table(chosen, {one.format: one.costs["ours"] for one in alone})]
    return "\n\n".join(parts) + "\n"
