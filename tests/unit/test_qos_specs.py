"""Limits for each GiB become those of a volume."""

import pytest

from breezeblock.model.qos_specs import QosSpecs


def told(consumer, specs, size=10):
    return QosSpecs(id="q", name="gold", consumer=consumer, specs=specs, created_at="now").for_host(size)


def test_who_is_told():
    specs = {"read_iops_sec": "2000"}
    assert told("back-end", specs) is None
    assert told("front-end", specs) == told("both", specs) == specs


@pytest.mark.parametrize(
    ("specs", "limit"),
    [
        ({}, 30),
        ({"total_iops_sec_per_gb_min": "100"}, 100),
        ({"total_iops_sec_max": "20"}, 20),
        ({"total_iops_sec_per_gb_min": "1", "total_iops_sec_max": "40"}, 30),
    ],
)
def test_by_size(specs, limit):
    assert told("both", {"total_iops_sec_per_gb": "3", **specs}) == {"total_iops_sec": limit}


def test_a_limit_that_is_no_number():
    with pytest.raises(ValueError, match="gold have a limit that is no number: many"):
        told("both", {"total_iops_sec_per_gb": "many"})
