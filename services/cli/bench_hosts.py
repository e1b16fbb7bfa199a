"""Measure how long thousands of hosts take to have their queues."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from novaflow.lab.queue.hosts import declare
from rpc.errors import BusError
from services.cli.bench_options import output, write
from services.private.rabbitmq import BrokerFailed, PrivateRabbitMQ


@click.command("hosts")
@click.option("--hosts", type=click.IntRange(1, 60_000), default=10_000, show_default=True)
@click.option("--queues", type=click.Choice(["transient", "durable", "quorum"]), default="durable", show_default=True)
@click.option("--json", "json_file", callback=output, help="Write the figures there; - for standard output.")
def hosts(hosts: int, queues: str, json_file: str | None) -> None:
    """Declare and consume the queues of many compute hosts in one process, on a private RabbitMQ, and send each a message.

    \b
    Example:
      novaflow bench hosts --hosts 10000
    """
    try:
        figures = uvloop.run(_measure(hosts, queues))
    except (BrokerFailed, BusError) as error:
        raise click.ClickException(str(error)) from error
    if json_file:
        write(json_file, msgspec.json.format(msgspec.json.encode(figures), indent=1).decode() + "\n")
    Console(stderr=True).print(_table(figures))


async def _measure(hosts: int, queues: str) -> dict[str, Any]:
    root = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="novaflow-bench-")
    try:
        async with PrivateRabbitMQ(Path(root.name)) as broker:
            return await declare(broker.url, hosts, queues)
    finally:
        await asyncio.to_thread(root.cleanup)


def _table(figures: dict[str, Any]) -> Table:
    drawn = Table("hosts", "queues", "declared", "a message each", "client memory")
    drawn.add_row(
        f"{figures['hosts']:,}",
        figures["queues"],
        f"{figures['declared_s']} s",
        f"{figures['one_message_each_s']} s",
        f"{figures['client_mib']} MiB",
    )
    return drawn
