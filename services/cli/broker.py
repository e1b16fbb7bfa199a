"""Which broker a command means, and which compute hosts use it."""

import asyncio
import os
from pathlib import Path
from typing import Final

import click

from novaflow.config import Config
from novaflow.errors import Invalid, ServiceUnavailable
from rpc.address import Address
from rpc.errors import Misconfigured
from services import settings
from services.broker import broker_address

Where = tuple[Path | None, str | None]  # --state-dir and --broker

_VARIABLE: Final = "NOVAFLOW_BROKER"

broker_option = click.option(
    "--broker",
    help="The broker instead of a cloud's: amqp://user:password@host:port/vhost. Better given as $NOVAFLOW_BROKER.",
)


def chosen(state_dir: Path | None, broker: str | None) -> Where:
    """What the options say; the environment's broker only when they say nothing."""
    return state_dir, (os.environ.get(_VARIABLE) or None) if broker is None and state_dir is None else broker


def address(where: Where) -> Address:
    """The broker that is meant; raises Invalid when there is none or it is no broker."""
    state_dir, broker = where
    if broker is not None:
        try:
            return Address.parse(broker)
        except Misconfigured as error:
            raise Invalid(reason=f"--broker or ${_VARIABLE}: {error}") from error
    directory = state_dir or settings.default_state_dir()
    found = broker_address(settings.running_config(directory).bus)
    if isinstance(found, Address):
        return found
    raise Invalid(
        reason=f"the queues of the cloud in {directory} are inside its own process (memory://), where no other "
        "can see them: run it with RabbitMQ, novaflow up --bus private or --bus amqp://user:password@host/"
    )


def known_hosts(where: Where) -> list[str]:
    """The compute hosts in the cloud's database; none when only a broker is known."""
    state_dir, broker = where
    address(where)
    if broker is not None:
        return []
    try:
        return asyncio.run(_hosts(settings.running_config(state_dir or settings.default_state_dir())))
    except ServiceUnavailable as error:
        click.echo(f"{error} Only the queues of whole topics are shown: name hosts with --host.", err=True)
        return []


async def _hosts(config: Config) -> list[str]:
    # Imported on demand: no other queue command needs the database.
    from novaflow.clock import SystemClock
    from novaflow.db.database import Database
    from novaflow.db.hosts import Hosts

    clock = SystemClock()
    database = await Database.open(config.database_url, config.database)
    try:
        return [host.name for host in await Hosts(database, clock).all(clock.now(), config.compute.service_down_time)]
    finally:
        await database.close()
