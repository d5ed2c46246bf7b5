"""What scenarios make of the same kind again and again, and bodies that are not as they should be."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from tests.contract.caller import LATEST, UNKNOWN, Answer, Caller

ODD: dict[str, Any] = {
    "null": None,
    "empty": "",
    "blank": "  ",
    "a word": "no-such-thing",
    "an unknown id": UNKNOWN,
    "spaces around": " a ",
    "a newline": "a\nb",
    "255 letters": "x" * 255,
    "256 letters": "x" * 256,
    "a snowman": "\u2603",
    "true": True,
    "a word for true": "True",
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "one as text": "1",
    "1.5": 1.5,
    "2 to the 31st": 2**31,
    "a list": [],
    "an object": {},
    "an object of text": {"a": "b"},
    "an object of numbers": {"a": 1},
    "an object of null": {"a": None},
    "an object with an empty key": {"": "b"},
    "an object with an odd key": {"a/b c\u2603": "b"},
    "an object with a long key": {"k" * 256: "b"},
    "an object with a long value": {"k": "v" * 256},
}
"""Values that a field may get, by what they are."""


def volume(c: Caller, **fields: Any) -> str:
    """The id of a volume of 1 GiB, or as the fields say, made and settled."""
    answer = c.post("/volumes", {"volume": {"size": 1, "name": c.name("volume")} | fields})
    path = f"/volumes/{answer.find('volume.id')}"
    c.settle(path, "volume")
    return str(answer.find("volume.id"))


def snapshot(c: Caller, volume_id: str, **fields: Any) -> str:
    """The id of a snapshot, made and settled."""
    body = {"snapshot": {"volume_id": volume_id, "name": c.name("snapshot")} | fields}
    answer = c.post("/snapshots", body)
    c.settle(f"/snapshots/{answer.find('snapshot.id')}", "snapshot")
    return str(answer.find("snapshot.id"))


def image(c: Caller, **fields: Any) -> str:
    """The id of an active raw image of 1 MiB. The image service's answers are not noted."""
    base = c.service.image_path
    described = {"name": c.name("image"), "disk_format": "raw", "container_format": "bare"} | fields
    made = c.ask("POST", f"{base}/v2/images", described, version=None, whole=True)
    image_id = str(made.find("id"))
    c.ask(
        "PUT",
        f"{base}/v2/images/{image_id}/file",
        b"\1" * (1 << 20),
        version=None,
        whole=True,
        headers={"Content-Type": "application/octet-stream"},
    )
    return image_id


def remove_image(c: Caller, image_id: str) -> None:
    """Delete an image, without a note."""
    c.ask("DELETE", f"{c.service.image_path}/v2/images/{image_id}", version=None, whole=True)


def odd_bodies(
    c: Caller,
    method: str,
    path: str,
    good: dict[str, Any],
    fields: Iterable[str],
    undo: Callable[[Answer], None] | None = None,
    **more: Any,
) -> None:
    """Call with `good`, which has one key, and with what is odd about it: as a whole, and each of its fields."""
    ((key, inner),) = good.items()
    whole: dict[str, Any] = {
        "as it should be": good,
        "nothing": None,
        "no JSON": b"{",
        "null": b"null",
        "a list": [],
        "empty": {},
        "null inside": {key: None},
        "a list inside": {key: []},
        "text inside": {key: "text"},
        "empty inside": {key: {}},
        "another key": {"another": inner},
        "a key beside": good | {"beside": {}},
    }
    if isinstance(inner, dict):
        whole["an unknown field"] = {key: inner | {"unknown_field": "x"}}
    about = more.pop("about", key)
    answers = c.probe(method, path, f"{about} as a whole", whole, **more)
    for field in fields:
        bodies = {label: _with(good, key, field, value) for label, value in ODD.items()}
        bodies["missing"] = deepcopy(good)
        bodies["missing"][key].pop(field, None)
        answers += c.probe(method, path, f"{about}.{field}", bodies, **more)
    if undo:
        for answer in answers:
            if answer.status < 300:
                undo(answer)


def _with(good: dict[str, Any], key: str, field: str, value: Any) -> dict[str, Any]:
    body = deepcopy(good)
    body[key][field] = value
    return body


def odd_action(c: Caller, kind: str, action: str, good: Any, fields: Iterable[str] = (), **more: Any) -> None:
    """The same for an action, on what is not there: 404 tells that the body was fine, 400 that it was not."""
    path = f"/{kind}/{UNKNOWN}/action"
    odd_bodies(c, "POST", path, {action: good}, fields, **({"role": "admin"} | more))


def versions_of(query: str) -> list[str]:
    """The versions at which a list treats a filter otherwise than before, and those before them."""
    changes = {
        "~": ("3.33", "3.34"),
        "with_count": ("3.44", "3.45"),
        "ed_at": ("3.59", "3.60"),
        "quota": ("3.64", "3.65"),
    }
    found = next((versions for key, versions in changes.items() if key in query), ("3.30", "3.31"))
    return [*dict.fromkeys(["3.0", *found, LATEST])]
