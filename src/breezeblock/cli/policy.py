"""`breezeblock policy`."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from breezeblock import config
from breezeblock.api import routes
from breezeblock.auth import policy, rules
from breezeblock.cli import options


@click.group()
def command() -> None:
    """Who may do what."""


@command.command("list")
@options.data_dir
@options.config_file
@options.as_json
@options.telling_errors
def list_rules(data_dir: Path, config_files: tuple[Path, ...], as_json: bool) -> None:
    """List the rules: the check of each, whether a policy file wrote it, and the calls it stands before.

    A rule without a call is asked within calls (who may see a volume's host, say), or is Cinder's for something that
    is not there.
    """
    settings = config.load(data_dir, config_files=config_files)
    found = _listed(policy.load(settings))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("rule", "check", "overridden", "calls", box=None)
    for rule in found:
        table.add_row(rule["rule"], rule["check"], "yes" if rule["overridden"] else "", "\n".join(rule["calls"]))
    Console().print(table)


def _listed(in_force: policy.Policy) -> list[dict[str, Any]]:
    checks = in_force.checks
    calls: dict[str, list[str]] = {}
    for prefix, table in (("/v3/{project_id}", routes.VOLUME_ROUTES), ("/image/v2", routes.IMAGE_ROUTES)):
        for route in table:
            if route.policy is not None:
                action = f" {route.action}" if route.action else ""
                calls.setdefault(route.policy, []).append(f"{route.method} {prefix}{route.path}{action}")
    return [
        {
            "rule": name,
            "check": check,
            "default": rules.RULES.get(name),
            "overridden": check != rules.RULES.get(name),
            "calls": calls.get(name, []),
        }
        for name, check in sorted(checks.items())
    ]
