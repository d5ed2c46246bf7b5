"""Where Breezeblock's answers differ from those that were recorded."""

from collections.abc import Iterable, Iterator
from typing import Any

from tests.contract.shape import flat

Kinds = dict[str, set[str]]


def plain(path: str) -> str:
    """`volumes[].id` as `volume.id`: a resource is the same in a list and alone."""
    head, mark, rest = path.partition("[].")
    return f"{head.removesuffix('s')}.{rest}" if mark else path


def kinds_of(recorded: Iterable[Iterable[dict[str, Any]]]) -> Kinds:
    """All kinds of values that Cinder gave anywhere, by the path in a body."""
    found: Kinds = {}
    for steps in recorded:
        for step in steps:
            if "body" in step:
                for path, kinds in flat(step["body"]):
                    found.setdefault(plain(path), set()).update(kinds)
    return found


def differences(
    theirs: list[dict[str, Any]], ours: list[dict[str, Any]], known: Kinds
) -> Iterator[tuple[str, str, str]]:
    """Each difference, as the step, the place in the answer, and what is different there."""
    for wanted, got in zip(theirs, ours, strict=False):
        step = wanted["step"]
        if step != got["step"]:
            yield step, "step", f"asked otherwise now: {got['step']}; record anew"
            return
        for place, said in _of_step(wanted, got, known):
            yield step, place, said
    if len(theirs) != len(ours):
        yield "the end", "step", f"{len(theirs)} steps are recorded, {len(ours)} were made; record anew"


def _failed(told: Any) -> bool:
    """Whether a server failed where it should have answered: Cinder is no model then, whatever we answer."""
    return str(told).startswith("5")


def _of_step(wanted: dict[str, Any], got: dict[str, Any], known: Kinds) -> Iterator[tuple[str, str]]:
    if _failed(wanted.get("status")) and not _failed(got["status"]):
        return
    for key in ("status", "fault", "keys"):
        if wanted.get(key) != got.get(key):
            yield key, f"Cinder {wanted.get(key)}, ours {got.get(key)} ({got.get('message') or wanted.get('message')})"
            if key == "status":
                return
    for key in ("headers", "values", "ends"):
        theirs, ours = wanted.get(key, {}), got.get(key, {})
        for name in sorted(theirs.keys() | ours.keys()):
            if key == "ends" and _failed(theirs.get(name)) and not _failed(ours.get(name)):
                continue
            if theirs.get(name) != ours.get(name):
                yield f"{key} {name}", f"Cinder {theirs.get(name)}, ours {ours.get(name)}"
    yield from _of_bodies(wanted.get("body"), got.get("body"), known)


def _of_bodies(wanted: Any, got: Any, known: Kinds) -> Iterator[tuple[str, str]]:
    if wanted is None or got is None:
        if wanted is not got:
            yield "body", f"Cinder {'has' if wanted is not None else 'has not'} one"
        return
    theirs, ours = dict(flat(wanted)), dict(flat(got))
    for path in sorted(theirs.keys() | ours.keys()):
        if any(
            _above(path) not in both or not both[_above(path)] & {"object", "list"} for both in (theirs, ours) if path
        ):
            continue  # what it would be part of is not there, and was told of
        if path not in ours:
            yield path, f"only Cinder has it: {'|'.join(sorted(theirs[path]))}"
        elif path not in theirs:
            yield path, f"only ours has it: {'|'.join(sorted(ours[path]))}"
        elif not ours[path] <= theirs[path]:
            seen = known.get(plain(path), set()) - {"nothing"}
            if not (ours[path] <= seen and theirs[path] <= seen):
                yield path, f"Cinder {'|'.join(sorted(theirs[path]))}, ours {'|'.join(sorted(ours[path]))}"


def _above(path: str) -> str:
    """The path of what holds it."""
    if path.endswith("[]"):
        return path[:-2]
    return path.rpartition(".")[0]
