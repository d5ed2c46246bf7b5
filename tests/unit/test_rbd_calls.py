"""The worker calls the process that has librbd by name: what mypy cannot see is held here, without a cluster."""

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breezeblock.drivers import rbd
from breezeblock.drivers.rbd.directory import Directory
from breezeblock.drivers.rbd.handles import Handles
from breezeblock.drivers.rbd.ledger import Ledger
from breezeblock.drivers.rbd.library import Library

TOLD = {"flatten", "remove"}
"""Are given a function that tells how far they are, before what the worker sent."""
CALLERS = {"call", "of"}
"""Methods that send a verb; `of` sends the image's number before the arguments."""


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Every `….call("verb", …)` and `….of("verb", …)`, and where it stands; without `line.call`, which takes a tuple."""
    for path in sorted(Path(rbd.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "line":
                continue
            verb = node.args[0]
            if node.func.attr in CALLERS and isinstance(verb, ast.Constant) and isinstance(verb.value, str):
                yield verb.value, node, f"{path.name}:{node.lineno}"


def method(verb: str) -> Callable[..., object]:
    """What answers a verb."""
    for owner in (Library, Handles, Directory, Ledger):
        if hasattr(owner, verb):
            found: Callable[..., object] = getattr(owner, verb)
            return found
    raise AssertionError(f"nobody answers {verb}")


@pytest.mark.parametrize(("verb", "call", "place"), [pytest.param(*one, id=f"{one[2]} {one[0]}") for one in calls()])
def test_a_call_has_the_arguments_of_its_method(verb: str, call: ast.Call, place: str) -> None:
    sent: list[object] = [None] * (len(call.args) - 1)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "of":
        sent.insert(0, None)
    if verb in TOLD:
        sent.insert(0, None)
    if any(keyword.arg == "data" for keyword in call.keywords):
        sent.append(None)
    assert not any(isinstance(one, ast.Starred) for one in call.args), "write the arguments out"
    inspect.signature(method(verb)).bind(None, *sent)
