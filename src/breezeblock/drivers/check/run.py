"""Runs the rules on an installed driver, on the storage of a section of a configuration file.

That storage is given up to the rules: it is refused when it holds anything; the rules make volumes and snapshots of
their own there and delete these. What they did not make they leave alone, and then stop.
"""

import contextlib
import importlib.metadata
import io
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest

from breezeblock import config
from breezeblock.config import BackendSettings
from breezeblock.drivers import registry
from breezeblock.drivers.check import report
from breezeblock.drivers.check.emptiness import held
from breezeblock.drivers.check.report import Report, RuleResult
from breezeblock.drivers.check.timing import OPTIONAL, Times, no_times, timed
from breezeblock.drivers.contract import Closes, Driver
from breezeblock.errors import BackendInUse, ConfigError

RULES = Path(__file__).with_name("installed.py")

Told = Callable[[RuleResult, int], None]
"""Called after each rule with its result and the number of all rules."""


class RuleNotRun(Exception):
    """The storage is not empty: something is left, or is somebody else's."""


class RuleTimeout(Exception):
    """A rule took longer than it may."""


class Checked:
    """The driver that a check is about, and how it is checked; also the plugin of pytest that collects the results."""

    def __init__(
        self,
        driver: str,
        backend: str,
        config_files: Sequence[Path],
        *,
        kill_places: int,
        fill_up_bytes: int,
        timeout: int,
    ) -> None:
        self.driver = driver
        self.backend = backend
        self.config_files = config_files
        self.kill_places = kill_places
        self.fill_up_bytes = fill_up_bytes
        self.timeout = timeout
        self.told: Told = lambda result, total: None
        self.times: Times = no_times()
        self.results: dict[str, RuleResult] = {}
        self.items: list[pytest.Item] = []

    def open_driver(self, data_dir: Path) -> Driver:
        """The driver with its verbs timed. What it keeps in the data directory by default lies in that one."""
        return timed(registry.make_driver(self._settings(data_dir)), self.times)

    def _settings(self, data_dir: Path) -> BackendSettings:
        return config.load(data_dir, config_files=self.config_files).backend(self.backend)

    def require_empty(self, driver: Driver) -> None:
        """Hold that there is nothing on the storage. Raises `RuleNotRun`."""
        if found := held(driver):
            raise RuleNotRun(f"the storage holds {_some(found)}")

    @pytest.fixture
    def checked(self) -> "Checked":
        """This, for the rules."""
        return self

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """By theme: those come last after which a bad driver may have left something."""
        from breezeblock.drivers.conformance.themes import THEMES

        items.sort(key=lambda item: THEMES.index(_theme(item)))
        self.items = items

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """A rule that hangs fails."""

        def late(number: int, frame: FrameType | None) -> None:
            raise RuleTimeout(f"It took more than {self.timeout} seconds.")

        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(self.timeout)
        try:
            return (yield)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Note what became of a rule, or of making ready for it, or of cleaning up after it."""
        made: pytest.TestReport = yield  # type: ignore[assignment]
        known = self.results.get(item.nodeid)
        if made.when == "call" or not made.passed:
            outcome = made.outcome
            if call.excinfo is not None and isinstance(call.excinfo.value, RuleNotRun):
                outcome = report.NOT_RUN  # type: ignore[assignment]
            if known is None or known.outcome != report.FAILED:
                self.results[item.nodeid] = _result(item, outcome, made, call)
        if made.when == "teardown":
            self.told(self.results[item.nodeid], len(self.items))
        return made  # type: ignore[return-value]


def check(checked: Checked, rules: str = "", told: Told = lambda result, total: None) -> Report:
    """Hold a driver to the rules, or to those that `rules` names as pytest's `-k` does.

    Raises:
        BackendInUse: the storage holds something already.
        ConfigError: the storage cannot be used, or no rule has such a name.
    """
    began = time.monotonic()
    checked.told = told
    with tempfile.TemporaryDirectory(prefix="breezeblock-") as scratch, _alone():
        work = Path(scratch)
        implements, found = _look(checked, work / "before")
        if found:
            raise BackendInUse(
                f"The storage of [{checked.backend}] holds {_some(found)}. "
                "The rules make and delete volumes there: give them a storage that is empty."
            )
        _run(checked, work, rules)
        _, left = _look(checked, work / "after")
    if not checked.items:
        raise ConfigError(f"No rule is called {rules}.")
    return Report(
        driver=checked.driver,
        distribution=distribution_of(checked.driver),
        backend=checked.backend,
        implements=implements,
        rules=list(checked.results.values()),
        verbs=report.verb_times(checked.times),
        seconds=round(time.monotonic() - began, 3),
        left=left,
    )


def _look(checked: Checked, data_dir: Path) -> tuple[list[str], list[str]]:
    """What a driver implements beside what it must, and what its storage holds."""
    data_dir.mkdir()
    driver = checked.open_driver(data_dir)
    driver.check_for_setup_error()
    try:
        return [protocol.__name__ for protocol in OPTIONAL if isinstance(driver, protocol)], held(driver)
    finally:
        if isinstance(driver, Closes):
            driver.close()


def _run(checked: Checked, work: Path, rules: str) -> None:
    ini = work / "pytest.ini"
    ini.write_text("[pytest]\n")
    arguments = ["-c", str(ini), "--rootdir", str(work), "--basetemp", str(work / "t"), "--noconftest", "-q"]
    arguments += ["-p", "no:cacheprovider", "-k", rules, str(RULES)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(arguments, plugins=[checked])
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise ConfigError(f"The rules could not be run: {said.getvalue().strip()}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """What the environment wants of other runs of pytest is nothing to this one."""
    before = dict(os.environ)
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def distribution_of(driver: str) -> str:
    """The package that has a driver's entry point, and its version."""
    for point in importlib.metadata.entry_points(group="breezeblock.drivers", name=driver):
        if point.dist is not None:
            return f"{point.dist.name} {point.dist.version}"
    return "unknown"


def _theme(item: pytest.Item) -> str:
    from breezeblock.drivers.conformance.themes import theme_of

    assert isinstance(item, pytest.Function)
    return theme_of(item.cls, item.originalname)


def _result(item: pytest.Item, outcome: str, made: pytest.TestReport, call: pytest.CallInfo[None]) -> RuleResult:
    assert isinstance(item, pytest.Function)
    reason = None
    if made.skipped and isinstance(made.longrepr, tuple):
        reason = str(made.longrepr[2]).removeprefix("Skipped: ")
    elif call.excinfo is not None:
        reason = str(call.excinfo.value) if outcome == report.NOT_RUN else call.excinfo.exconly()
        if made.when == "teardown":
            reason = f"When it was over, cleaning up failed: {reason}"
    return RuleResult(
        name=item.name,
        theme=_theme(item),
        rule=" ".join((item.function.__doc__ or "").split()),
        outcome=outcome,
        reason=reason,
        details=made.longreprtext if outcome == report.FAILED else None,
        seconds=round(call.duration, 3),
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
