"""The files below `recorded/`: one for each scenario, a step a line, each shape of a body once."""

import json
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "recorded"


def write(name: str, steps: list[dict[str, Any]]) -> None:
    """Keep a scenario's steps."""
    shapes: dict[str, str] = {}
    lines = []
    for step in steps:
        kept = dict(step)
        if "body" in kept:
            shape = json.dumps(kept["body"], sort_keys=True)
            kept["body"] = shapes.setdefault(shape, f"shape {len(shapes) + 1}")
        if "ends" in kept:
            kept["ends"] = _by_value(kept["ends"])
        lines.append(json.dumps(kept))
    named = ",\n".join(f'"{label}": {shape}' for shape, label in shapes.items())
    (DIRECTORY / f"{name}.json").write_text(
        '{"steps": [\n' + ",\n".join(lines) + '\n],\n"shapes": {\n' + named + "\n}}\n"
    )


def read(name: str) -> list[dict[str, Any]]:
    """The steps of a scenario, as `Caller` noted them."""
    found = json.loads((DIRECTORY / f"{name}.json").read_text())
    steps: list[dict[str, Any]] = found["steps"]
    for step in steps:
        if "body" in step:
            step["body"] = found["shapes"][step["body"]]
        if "ends" in step:
            step["ends"] = {label: end for end, labels in step["ends"].items() for label in labels}
    return steps


def _by_value(ends: dict[str, str]) -> dict[str, list[str]]:
    """How calls ended, each end with the calls that came to it."""
    found: dict[str, list[str]] = {}
    for label, end in ends.items():
        found.setdefault(end, []).append(label)
    return found


def names() -> list[str]:
    """Those that were recorded."""
    return sorted(path.stem for path in DIRECTORY.glob("*.json"))
