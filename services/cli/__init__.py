"""The `novaflow` command. Each subcommand lives in its own module, loaded when it is asked for.

Errors are one sentence and exit status 1; a wrong call is exit status 2.
"""

import importlib
import sys
from typing import Final

import click

from novaflow import __version__
from novaflow.errors import NovaflowError
from rpc.errors import BusError
from services.loading import loading

_COMMANDS: Final = {
    "up": "services.cli.up:up",
    "down": "services.cli.up:down",
    "status": "services.cli.up:status",
    "env": "services.cli.env:env",
    "trace": "services.cli.trace:trace",
    "console": "services.cli.console:console",
    "doctor": "services.cli.doctor:doctor",
    "demo": "services.cli.demo:demo",
    "guest": "services.cli.guest:guest",
    "queue": "services.cli.queue:queue",
    "bench": "services.cli.bench:bench",
    "db": "services.cli.db:db",
    "identity": "services.cli.service:identity",
    "image": "services.cli.service:image",
    "api": "services.cli.service:api",
    "scheduler": "services.cli.service:scheduler",
    "conductor": "services.cli.service:conductor",
    "compute": "services.cli.service:compute",
}


class _Commands(click.Group):
    """A group that imports a subcommand only when it is called, so that `novaflow env` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        where = _COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        with loading():
            command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="novaflow")
def cli() -> None:
    """Run the OpenStack Nova request flow for real: REST in, a bus and a database between, a guest out.

    \b
    Example:
      novaflow up --detach && eval "$(novaflow env)" && openstack server list
    """


def main() -> None:
    """Run the command line; an expected failure is one sentence on standard error and exit status 1."""
    try:
        cli.main()
    except (NovaflowError, BusError, OSError) as error:
        click.echo(f"novaflow: {_sentence(error)}", err=True)
        sys.exit(1)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and not error.filename:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
