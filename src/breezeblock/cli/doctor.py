"""`breezeblock doctor`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from breezeblock.cli import options

if TYPE_CHECKING:
    from breezeblock.config import Settings
    from breezeblock.db.connect import Database
    from breezeblock.services.doctor.draining import Draining
    from breezeblock.services.doctor.finding import Finding


@click.command()
@options.data_dir
@options.config_file
@options.as_json
@click.option("--fix", is_flag=True, help="Mend what is found, after showing it and asking.")
@click.option("--adopt", "project", metavar="PROJECT", help="As --fix, but volumes without a row get one in PROJECT.")
@click.option("--yes", is_flag=True, help="With --fix or --adopt: do not ask.")
@options.telling_errors
def command(
    data_dir: Path, config_files: tuple[Path, ...], as_json: bool, fix: bool, project: str | None, yes: bool
) -> None:
    """Compare rows, flows, events, exports and storages, and tell what does not agree; exit 1 if anything does not.

    The service may run or be stopped. Looking changes nothing.
    """
    from breezeblock import config
    from breezeblock.db.connect import Database
    from breezeblock.services.doctor import draining
    from breezeblock.services.doctor.examine import examine

    settings = config.load(data_dir, config_files=config_files)
    database = Database(settings.database_url)
    try:
        found = examine(settings, database)
        done: list[dict[str, str]] = []
        if found and (fix or project is not None):
            if not as_json:
                Console().print(table(found))
            if not yes:
                click.confirm("Do this?", abort=True, err=True)
            done = _mend(settings, database, found, project)
            found = examine(settings, database)
        _print(found, draining.look(database), done, as_json)
    finally:
        database.close()
    if found:
        raise SystemExit(1)


def _mend(
    settings: "Settings", database: "Database", shown: "list[Finding]", project: str | None
) -> list[dict[str, str]]:
    """Mend what was shown and is still so; what was done, by finding."""
    from breezeblock.services.doctor.adopt import adopt, can_adopt
    from breezeblock.services.doctor.examine import examine
    from breezeblock.services.doctor.fix import Fixer
    from breezeblock.services.doctor.hands import Hands

    done = []
    with Hands(settings, database) as hands:
        fixer = Fixer(settings, database, hands)
        identities = {finding.identity for finding in shown}
        for finding in examine(settings, database):
            if finding.identity not in identities:
                continue
            if project is not None and can_adopt(finding):
                result = adopt(database, hands.context, finding, project)
            elif finding.fix is not None:
                result = fixer.fix(finding)
            else:
                continue
            done.append({"kind": finding.kind, "resource": finding.resource, "id": finding.id, "done": result})
        for operation_id in hands.wait():
            done.append({"kind": "", "resource": "operation", "id": operation_id, "done": "not ended yet"})
    return done


def _print(found: "list[Finding]", draining: "list[Draining]", done: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        import msgspec

        told = {"clean": not found, "findings": found, "draining": draining, "done": done}
        click.echo(json.dumps(msgspec.to_builtins(told), indent=2))
        return
    for version in draining:
        click.echo(version)
    for one in done:
        click.echo(f"{one['resource']} {one['id']}: {one['done']}")
    if found:
        Console().print(table(found))
    else:
        click.echo("Rows, flows, events, exports and storages agree.")


def table(found: "list[Finding]") -> Table:
    """The findings, a row each."""
    shown = Table(title=f"{len(found)} wrong", title_justify="left", show_lines=False)
    for column in ("what", "resource", "id", "what is wrong", "--fix would"):
        shown.add_column(column, overflow="fold", no_wrap=column in {"what", "resource"})
    for finding in found:
        where = f" on {finding.backend}" if finding.backend else ""
        shown.add_row(finding.kind, finding.resource, finding.id, finding.wrong + where, finding.fix or "nothing")
    return shown
