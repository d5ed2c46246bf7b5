"""`breezeblock`: the commands, each loaded when it is called, so that none pays for another's imports."""

import importlib
import os

import click

COMMANDS = {
    "serve": "Run everything on this machine: API and worker.",
    "api": "Run an API process.",
    "worker": "Run a worker for some backends.",
    "db": "Bring the database to this release's tables.",
    "connect": "Open a volume from this machine: prints its NBD URI.",
    "disconnect": "Withdraw what connect opened.",
    "image-cache": "What the image-volume cache holds: list, show, pin, prefetch, evict.",
    "explain": "Tell how a volume came to be what it is.",
    "doctor": "Compare rows, flows, exports and storages, and mend what does not agree.",
    "driver": "Which drivers are installed, and whether they keep the contract's rules.",
    "policy": "Who may do what: the rules, and the calls that each stands before.",
    "openapi": "Print the OpenAPI document of the API.",
    "debug": "What tests and developers look at, such as kill points.",
    "clouds-yaml": "Print a clouds.yaml for OpenStack's clients.",
}


class Commands(click.Group):
    """Finds the command `some-thing` in the module `cli.some_thing`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"breezeblock.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table as it is, without loading the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands)
@click.version_option(package_name="breezeblock")
def main() -> None:
    """A block storage service that speaks the OpenStack Block Storage API v3."""
    os.umask(0o077)  # whatever a command or a library writes is for its user alone
