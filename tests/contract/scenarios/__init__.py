"""What is asked of a service of the Block Storage API: the same of Cinder and of Breezeblock.

A scenario is a function of a module here, named by both: `volumes.life`. It makes what it needs, and deletes that again.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable

from tests.contract.caller import Caller

Scenario = Callable[[Caller], None]


def _found() -> dict[str, Scenario]:
    scenarios = {}
    for module in pkgutil.iter_modules(__path__):
        here = importlib.import_module(f"{__name__}.{module.name}")
        for name, function in vars(here).items():
            signature = inspect.signature(function) if inspect.isfunction(function) else None
            if signature and function.__module__ == here.__name__ and list(signature.parameters) == ["c"]:
                scenarios[f"{module.name}.{name}"] = function
    return scenarios


SCENARIOS = _found()


def chosen(names: Iterable[str]) -> dict[str, Scenario]:
    """Those whose names begin so; all where none is asked for."""
    wanted = tuple(names) or ("",)
    return {name: scenario for name, scenario in SCENARIOS.items() if name.startswith(wanted)}
