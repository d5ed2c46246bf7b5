"""Placement: Cinder's rules, and reasons that say by how many GiB."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breezeblock.model.pool import Pool
from breezeblock.scheduling.placement import Wanted, free_gib, matches, why_not


def pool(**changes):
    fields = {
        "name": "host@backend#pool",
        "backend": "host@backend",
        "total_capacity_gb": 100.0,
        "free_capacity_gb": 40.0,
        "reserved_percentage": 10,
        "max_over_subscription_ratio": 2.0,
        "updated_at": "",
    }
    return Pool(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "wanted", "promised", "reason"),
    [
        ({}, {"size": 60}, 0, None),
        ({}, {"size": 61}, 0, "1.0 GiB too little is free"),
        ({}, {"size": 20}, 180, None),
        ({}, {"size": 21}, 180, "1.0 GiB too little is free"),
        ({"up": False}, {"size": 1}, 0, "the backend does not report"),
        ({}, {"size": 1, "backend": "host@other"}, 0, "the source lies on host@other"),
        ({}, {"size": 1, "zones": ("mars",)}, 0, "it is in zone nova, asked was mars"),
        ({}, {"size": 1, "not_in": frozenset({"host@backend#pool"})}, 0, "it failed before"),
        ({}, {"size": 31, "extra_specs": {"provisioning:type": "thick"}}, 0, "1.0 GiB too little is free"),
        ({}, {"size": 30, "extra_specs": {"provisioning:type": "thick"}}, 1000, None),
        ({}, {"size": 1, "extra_specs": {"multiattach": "<is> True"}}, 0, "it does not have multiattach <is> True"),
        ({"capabilities": {"multiattach": True}}, {"size": 1, "extra_specs": {"multiattach": "<is> True"}}, 0, None),
        ({"capabilities": {"qos": 1}}, {"size": 1, "extra_specs": {"capabilities:qos": ">= 2"}}, 0, "it does not have capabilities:qos >= 2"),
    ],
)  # fmt: skip
def test_why_not(changes, wanted, promised, reason):
    assert why_not(pool(**changes), Wanted(**wanted), promised) == reason


@pytest.mark.parametrize(
    ("spec", "value", "answer"),
    [
        ("<is> True", True, True),
        ("<is> True", False, False),
        ("<in> ssd", "nvme ssd", True),
        ("<or> a <or> b", "b", True),
        ("<or> a <or> b", "c", False),
        (">= 5", 6, True),
        ("= 5", 4, False),
        ("== 5", "5.0", True),
        ("!= 5", 5, False),
        (">= five", 6, False),
        ("s== a", "a", True),
        ("s!= a", "a", False),
        ("gold", "Gold", True),
    ],
)
def test_the_little_language_of_extra_specs(spec, value, answer):
    assert matches(spec, value) is answer


sizes = st.integers(min_value=0, max_value=10_000)


@given(
    total=sizes,
    used=sizes,
    promised=sizes,
    size=st.integers(min_value=1, max_value=10_000),
    reserved=st.integers(0, 100),
)
def test_what_is_placed_never_breaks_the_ratio(total, used, promised, size, reserved):
    """Whatever fits leaves the promises within total times ratio, and the reserve untouched."""
    one = pool(total_capacity_gb=total, free_capacity_gb=max(0, total - used), reserved_percentage=reserved)
    wanted = Wanted(size=size)
    if why_not(one, wanted, promised) is None:
        assert promised + size <= total * one.max_over_subscription_ratio
        assert size <= free_gib(one, wanted, promised)
