"""`breezeblock driver`."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from breezeblock.cli import options
from breezeblock.errors import ConfigError

if TYPE_CHECKING:
    from breezeblock.drivers.check.report import Report, RuleResult

GIB = 1 << 30
MOST_LINES = 8
"""Of why a rule failed, without --verbose."""


@click.group()
def command() -> None:
    """Which drivers are installed, and whether they keep the contract's rules."""


@command.command("list")
@options.as_json
def list_drivers(as_json: bool) -> None:
    """List the installed drivers: the name that volume_driver takes, and the package it comes from."""
    from importlib.metadata import entry_points

    points = sorted(entry_points(group="breezeblock.drivers"), key=lambda point: point.name)
    found = [(point.name, point.dist.name, point.dist.version) for point in points if point.dist is not None]
    if as_json:
        told = [dict(zip(("name", "package", "version"), one, strict=True)) for one in found]
        click.echo(json.dumps(told, indent=2))
        return
    table = Table("name", "package", "version", box=None)
    for one in found:
        table.add_row(*one)
    Console().print(table)


@command.command()
@click.argument("name")
@click.option(
    "--config-file",
    "config_files",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    required=True,
    help="Configuration file with a backend of this driver, whose storage is given up to the rules.",
)
@click.option("--backend", help="The section of that backend, where several are of this driver.")
@click.option(
    "-k", "rules", default="", metavar="EXPRESSION", help="Only the rules whose names match, as with pytest -k."
)
@click.option(
    "--kill-places",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Lines of the driver, evenly spread, that each verb is killed at.",
)
@click.option(
    "--fill-up",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    metavar="GIB",
    help="A storage with no more free than this is filled up, to see what the driver does then.",
)
@click.option(
    "--timeout", type=click.IntRange(min=1), default=300, show_default=True, help="Seconds that one rule may take."
)
@click.option("--verbose", "-v", is_flag=True, help="Print the tracebacks of the rules that fail.")
@options.as_json
@options.telling_errors
def check(
    name: str,
    config_files: tuple[Path, ...],
    backend: str | None,
    rules: str,
    kill_places: int,
    fill_up: float,
    timeout: int,
    verbose: bool,
    as_json: bool,
) -> None:
    """Hold the driver NAME to the rules of the contract, and report; exit 1 when it breaks any.

    The rules make volumes and snapshots on the backend's storage and delete them, kill processes of their own, and fill
    the storage up where it is small. A storage that holds anything is refused; do not give them one that is served.
    """
    section = _section(name, config_files, backend)
    try:
        from breezeblock.drivers.check.run import Checked
        from breezeblock.drivers.check.run import check as run
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ConfigError("The rules are run by pytest, which is missing: install breezeblock[conformance].") from error
    click.echo(f"The storage of [{section}] is used for volumes that are made and deleted.", err=True)
    checked = Checked(
        name,
        section,
        config_files,
        kill_places=kill_places,
        fill_up_bytes=int(fill_up * GIB),
        timeout=timeout,
    )
    report = run(checked, rules, _Progress())
    if as_json:
        import msgspec

        click.echo(
            json.dumps({"ok": report.ok, "counts": _counts(report.rules), **msgspec.to_builtins(report)}, indent=2)
        )
    else:
        _print(report, verbose)
    if not report.ok:
        raise SystemExit(1)


class _Progress:
    """A line on the terminal, if it is one, that says which rule was the last."""

    def __init__(self) -> None:
        self._done = 0
        self._shown = sys.stderr.isatty()

    def __call__(self, result: "RuleResult", total: int) -> None:
        self._done += 1
        if self._shown:
            over = self._done == total
            click.echo("\r\x1b[K" if over else f"\r\x1b[K{self._done} of {total}: {result.name}", nl=False, err=True)


def _section(name: str, config_files: tuple[Path, ...], backend: str | None) -> str:
    """The backend that is of the driver: the one that was named, or the only one."""
    from breezeblock import config
    from breezeblock.drivers import registry

    settings = config.load(Path(options.DEFAULT_DATA_DIR), config_files=config_files)
    found = [
        one.name for one in settings.backends if registry.CINDER_NAMES.get(one.volume_driver, one.volume_driver) == name
    ]
    if backend is not None and settings.backend(backend).name not in found:
        raise ConfigError(f"[{backend}] has volume_driver = {settings.backend(backend).volume_driver}, not {name}.")
    if backend is None and len(found) != 1:
        several = f"these are: {', '.join(found)}; choose by --backend" if found else "none is"
        raise ConfigError(f"One of enabled_backends has to have volume_driver = {name}; {several}.")
    return backend or found[0]


def _counts(rules: "list[RuleResult]") -> dict[str, int]:
    from breezeblock.drivers.check.report import OUTCOMES

    counts = Counter(one.outcome for one in rules)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def _print(report: "Report", verbose: bool) -> None:
    from breezeblock.drivers.check.report import FAILED, NOT_RUN, SKIPPED

    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"Driver {report.driver} of {report.distribution}, on [{report.backend}]")
    console.print(f"Implements beside what it must: {', '.join(report.implements) or 'nothing'}\n")
    console.print(_by_theme(report))
    for reason, times in Counter(one.reason for one in report.of(SKIPPED)).items():
        console.print(f"skipped {times:3}: {reason}")
    for one in report.of(FAILED):
        console.print(f"\nFAILED {one.name} ({one.theme})\n  The rule: {one.rule}")
        console.print("\n".join(f"  {line}" for line in (one.reason or "").splitlines()[:MOST_LINES]))
        if verbose:
            console.print(one.details)
    for reason, times in Counter(one.reason for one in report.of(NOT_RUN)).items():
        console.print(f"\nNOT RUN {times}: {reason}")
    if report.left:
        console.print(f"\nLEFT on the storage: {', '.join(report.left)}")
    console.print()
    console.print(_times(report))
    counts = _counts(report.rules)
    told = f"{counts['passed']} rules kept, {counts['failed']} broken, {counts['skipped']} do not apply"
    not_run = f", {counts['not_run']} not run" if counts["not_run"] else ""
    console.print(f"\n{told}{not_run}; {report.seconds:.0f} seconds.")


def _by_theme(report: "Report") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("theme")
    for column in ("passed", "failed", "skipped", "not run"):
        table.add_column(column, justify="right")
    for theme in dict.fromkeys(one.theme for one in report.rules):
        of_theme = _counts([one for one in report.rules if one.theme == theme])
        table.add_row(theme, *(str(count) for count in of_theme.values()))
    return table


def _times(report: "Report") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("verb")
    for column in ("calls", "median ms", "worst ms"):
        table.add_column(column, justify="right")
    for one in report.verbs:
        median, worst = (f"{seconds * 1000:.1f}" for seconds in (one.median_seconds, one.worst_seconds))
        table.add_row(one.verb, str(one.calls), median, worst)
    return table
