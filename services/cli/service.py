"""One service as its own process, against a broker and a database."""

import sys
from pathlib import Path
from typing import Any

import click

from novaflow.config import Config
from novaflow.errors import Invalid
from services import all_in_one, settings
from services.cli.options import metrics_port_option
from services.runtime import Runtime
from services.supervisor import READY, stop_with_parent

_HELP = {
    "identity": "Run the identity service (Keystone's APIs).",
    "image": "Run the image service (Glance's API).",
    "api": "Run nova-api.",
    "scheduler": "Run a scheduler.",
    "conductor": "Run a conductor.",
    "compute": "Run a compute worker for this host.",
}


def _command(name: str) -> click.Command:
    def run(config_path: Path | None, supervised: bool, **flags: Any) -> None:  # noqa: FBT001 - click passes by name
        config = settings.with_flags(settings.read(config_path) if config_path else Config(), **flags)
        if config.bus.url.startswith("memory:"):
            raise Invalid(reason=f"{name} as its own process needs a broker: --bus amqp://user:password@host:port/")
        all_in_one.run(config, [name], _process_name(name, config), lambda runtime: _ready(runtime, supervised))

    example = f"\b\nExample:\n  novaflow {name} --bus amqp://guest:guest@localhost/ --db mysql://nova@localhost/nova"
    run.__doc__ = f"{_HELP[name]}\n\n{example}"
    command = click.command(name)(run)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="A novaflow.toml."),
    click.option("--bus", help="The broker's URL: amqp://user:password@host:port/vhost."),
    click.option("--db", "database", help="The database's URL: mysql://user:password@host/name."),
    click.option(
        "--state-dir", type=click.Path(path_type=Path, file_okay=False), help="Where this service keeps files."
    ),
    metrics_port_option,
    click.option("--supervised", is_flag=True, hidden=True),
)


def _process_name(name: str, config: Config) -> str:
    return f"{name}-{config.compute.host}" if name == "compute" and config.compute.host else name


def _ready(runtime: Runtime, supervised: bool) -> None:  # noqa: FBT001
    click.echo(READY)
    sys.stdout.flush()
    if supervised:
        runtime.spawn(stop_with_parent(), "stop with the supervisor")


identity = _command("identity")
image = _command("image")
api = _command("api")
scheduler = _command("scheduler")
conductor = _command("conductor")
compute = _command("compute")
