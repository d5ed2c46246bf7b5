"""ARCHITECTURE.md speaks of names that exist."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIONS = re.findall(r"\[`([\w.]+)`\]\((\S+?)\)", (ROOT / "ARCHITECTURE.md").read_text())


def test_the_page_has_stations():
    assert len(STATIONS) >= 10


@pytest.mark.parametrize(("name", "path"), STATIONS, ids=[name for name, _ in STATIONS])
def test_station_is_there(name, path):
    """The name can be imported, and it is defined in the file that the link leads to."""
    module, _, attribute = f"breezeblock.{name}".rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    assert callable(thing)
    assert (ROOT / path).samefile(importlib.import_module(module).__file__)
