"""An answer reduced to what a client relies on: keys and kinds of values, not the values.

A shape is what JSON is, with the kind in the place of each value: `{"id": "uuid", "size": "int"}`. The elements of a
list are one shape; where they differ it says `null|str`, and `absent` for a key that only some have.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

ABSENT = "absent"

_KINDS = {
    "uuid": r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
    "hex": r"[0-9a-f]{32}",
    "date": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}",
    "date in seconds": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "date with zone": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "url": r"https?://.*",
    "true/false": r"true|false",
    "True/False": r"True|False",
    "digits": r"\d+",
}

Shape = dict[str, Any] | list[Any] | str


def shape_of(value: Any) -> Shape:
    """The shape of a JSON value."""
    if isinstance(value, dict):
        return {_plain(key): _levels(value[key]) if key == "levels" else shape_of(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_merged([shape_of(one) for one in value])] if value else []
    if value is None:
        return "null"
    if isinstance(value, str):
        return next((kind for kind, form in _KINDS.items() if re.fullmatch(form, value)), "str")
    return {bool: "bool", int: "int", float: "float"}[type(value)]


def _plain(key: str) -> str:
    """A key without the name of a type that is in it: which types there are is the server's affair."""
    return re.sub(r"^(volumes|gigabytes|snapshots)_(?!links$).+", r"\1_<type>", key)


def _levels(levels: Any) -> Shape:
    """Log levels by the names of loggers, which each server has of its own."""
    return (
        {"<logger>": _merged([shape_of(one) for one in levels.values()])}
        if isinstance(levels, dict)
        else shape_of(levels)
    )


def _merged(shapes: list[Shape]) -> Shape:
    """One shape for all elements of a list."""
    objects = [one for one in shapes if isinstance(one, dict)]
    lists = [one for one in shapes if isinstance(one, list)]
    if len(objects) == len(shapes):
        keys = sorted({key for one in objects for key in one})
        return {key: _merged([one.get(key, ABSENT) for one in objects]) for key in keys}
    if len(lists) == len(shapes):
        inner = [one[0] for one in lists if one]
        return [_merged(inner)] if inner else []
    if objects or lists:
        # a value that is an object in one element and null in another: what the object is says more
        return _merged([*objects] or [*lists])
    return "|".join(sorted({kind for one in shapes for kind in str(one).split("|")}))


def flat(shape: Shape, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each path of a shape with the kinds of its value: `volume.id`, `volumes[].id`."""
    if isinstance(shape, dict):
        yield path, {"object"}
        for key, inner in shape.items():
            yield from flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(shape, list):
        yield path, {"list"}
        if shape:
            yield from flat(shape[0], f"{path}[]")
        else:
            yield f"{path}[]", {"nothing"}
    else:
        yield path, set(shape.split("|"))


def cleaner(hidden: Callable[[], dict[str, str]]) -> Callable[[str], str]:
    """What takes ids, dates and the names that `hidden` lists out of a text, so that it is the same in each run."""

    def clean(text: str) -> str:
        for word, stands in sorted(hidden().items(), key=lambda pair: -len(pair[0])):
            text = text.replace(word, stands)
        text = re.sub(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|\b[0-9a-f]{32}\b", "<id>", text)
        return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)?", "<date>", text)

    return clean
