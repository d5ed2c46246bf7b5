"""docs/configuration.md is what the options say, and no option is missing."""

import importlib
from importlib.metadata import distribution

import pytest

from breezeblock import config
from scripts.configuration_page import PAGE, page

DRIVERS = [point for point in distribution("breezeblock").entry_points if point.group == "breezeblock.drivers"]


def test_the_page_is_what_the_options_say() -> None:
    assert PAGE.read_text() == page(), "run make docs"


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_every_option_of_a_driver_is_there(driver) -> None:
    section = page().partition(f"`volume_driver = {driver.name}`")[2].partition("\n## ")[0]
    for option in importlib.import_module(driver.module).OPTIONS:
        assert f"| `{option.name}` |" in section


def test_every_list_of_options_of_the_configuration_is_there() -> None:
    lists = [value for name, value in vars(config).items() if name.endswith("_OPTIONS")]
    assert len(lists) >= 4
    for option in (option for options in lists for option in options):
        assert f"| `{option.name}` |" in page()
