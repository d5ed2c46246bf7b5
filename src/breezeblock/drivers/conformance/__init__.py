"""The specification of a driver, as tests that its own test file adopts.

    from breezeblock.drivers.conformance import DriverConformance, settings_for

    class TestAcme(DriverConformance):
        def open_driver(self, directory: Path) -> Driver:
            return open_driver(settings_for("acme", directory, acme_url="https://..."))

Each test's docstring is the rule that it holds the driver to. Importing this needs pytest; nothing in the service
imports it but `breezeblock driver check`, which runs the same rules on a driver that is installed.
"""

import pytest

MODULES = (
    "storage",
    "making",
    "filling",
    "copying",
    "deleting",
    "connecting",
    "reporting",
    "optional",
    "hydrating",
    "adopting",
    "examining",
    "grouping",
    "refusing",
    "concurrency",
    "rewriting",
    "reverting",
    "moving",
    "managing",
    "dying",
    "filling_up",
    "changing",
    "failing_over",
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in MODULES))

from breezeblock.drivers.conformance.adopting import AdoptingRules  # noqa: E402
from breezeblock.drivers.conformance.changing import ChangingRules  # noqa: E402
from breezeblock.drivers.conformance.concurrency import ConcurrencyRules  # noqa: E402
from breezeblock.drivers.conformance.connecting import ConnectingRules  # noqa: E402
from breezeblock.drivers.conformance.copying import CopyingRules  # noqa: E402
from breezeblock.drivers.conformance.deleting import DeletingRules  # noqa: E402
from breezeblock.drivers.conformance.dying import DyingRules  # noqa: E402
from breezeblock.drivers.conformance.examining import ExaminingRules  # noqa: E402
from breezeblock.drivers.conformance.failing_over import FailoverRules  # noqa: E402
from breezeblock.drivers.conformance.filling import FillingRules  # noqa: E402
from breezeblock.drivers.conformance.filling_up import FillingUpRules  # noqa: E402
from breezeblock.drivers.conformance.grouping import GroupRules  # noqa: E402
from breezeblock.drivers.conformance.hydrating import HydratingRules  # noqa: E402
from breezeblock.drivers.conformance.making import MakingRules  # noqa: E402
from breezeblock.drivers.conformance.managing import ManagingRules  # noqa: E402
from breezeblock.drivers.conformance.moving import MovingRules  # noqa: E402
from breezeblock.drivers.conformance.optional import ImageRules, ReplicaRules  # noqa: E402
from breezeblock.drivers.conformance.refusing import RefusingRules  # noqa: E402
from breezeblock.drivers.conformance.reporting import ReportingRules  # noqa: E402
from breezeblock.drivers.conformance.reverting import RevertingRules  # noqa: E402
from breezeblock.drivers.conformance.rewriting import RewritingRules  # noqa: E402
from breezeblock.drivers.conformance.storage import Storage, settings_for  # noqa: E402

__all__ = ["DriverConformance", "Storage", "settings_for"]


class DriverConformance(
    MakingRules,
    FillingRules,
    CopyingRules,
    DeletingRules,
    ConnectingRules,
    ReportingRules,
    ImageRules,
    ReplicaRules,
    FailoverRules,
    GroupRules,
    HydratingRules,
    AdoptingRules,
    ExaminingRules,
    RewritingRules,
    RevertingRules,
    ChangingRules,
    MovingRules,
    ManagingRules,
    FillingUpRules,
    ConcurrencyRules,
    DyingRules,
    RefusingRules,
):
    """All rules. A subclass named `Test...` that has `open_driver` runs them."""
