"""Measure what a killed broker costs."""

import asyncio
import logging
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from novaflow.lab.queue.broker_kill import Breakable, Findings, KillPlan, Service, broker_kill
from services.cli.bench_options import finite, output, write
from services.private.rabbitmq import BrokerFailed, PrivateRabbitMQ
from services.private.rabbitmq_cluster import PrivateCluster


class Node:
    """A private broker, of which one node is killed."""

    def __init__(self, url: str, node: PrivateRabbitMQ) -> None:
        self._url = url
        self._node = node

    @property
    def url(self) -> str:
        """Every node of the broker, with credentials."""
        return self._url

    async def kill(self) -> None:
        """Kill the node as a crash would."""
        await self._node.kill9()

    async def restart(self) -> None:
        """Start the node again."""
        await self._node.restart()


@click.command("broker-kill")
@click.option("--mode", type=click.Choice(["durable", "icehouse"]), default="durable", show_default=True)
@click.option(
    "--durability",
    type=click.Choice(["transient", "durable", "quorum"]),
    help="Of the queues [default: what the mode needs; quorum on a cluster].",
)
@click.option("--nodes", type=click.Choice(["1", "3"]), default="1", show_default=True, help="One of them is killed.")
@click.option(
    "--in-flight", type=click.IntRange(1, 1000), default=32, show_default=True, help="Casts, and as many calls."
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=10.0,
    show_default=True,
    callback=finite,
    help="Length of the load, besides the time it is dead.",
)
@click.option(
    "--down",
    type=click.FloatRange(0, 600),
    default=2.0,
    show_default=True,
    callback=finite,
    help="Seconds it stays dead.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the moment of the kill and of the load.")
@click.option("--json", "json_file", callback=output, help="Write the findings there; - for standard output.")
def kill(mode: str, durability: str | None, nodes: str, json_file: str | None, **given: Any) -> None:
    """Kill a private RabbitMQ under load and count what was lost, came twice or failed.

    In durable mode nothing that was confirmed may be lost, unless the queues are transient: otherwise the exit status is 1.

    \b
    Example:
      novaflow bench broker-kill --mode durable --seconds 20 --json kill.json
    """
    is_cluster = nodes != "1"
    queues = durability or ("quorum" if is_cluster and mode == "durable" else "")
    plan = KillPlan(delivery=mode, queues=queues, **given)
    # Writing to a connection that is gone is what happens here.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    console = Console(stderr=True)
    try:
        findings = asyncio.run(_kill(plan, int(nodes), console))
    except BrokerFailed as error:
        raise click.ClickException(str(error)) from None
    if json_file:
        write(json_file, _document(plan, int(nodes), findings))
    shown = console if json_file == "-" else Console(width=None if sys.stdout.isatty() else 150)
    shown.print(_title(plan, findings), markup=False, highlight=False, style="bold")
    shown.print(_table(plan, findings))
    if mode == "durable" and plan.settings().keeps_queues and findings.lost:
        raise click.ClickException(f"{findings.lost} casts were confirmed and are lost")


async def _kill(plan: KillPlan, nodes: int, console: Console) -> Findings:
    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    tell("starting a private RabbitMQ" if nodes == 1 else f"starting a private cluster of {nodes} nodes")
    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="novaflow-bench-")))
        broker: Breakable
        if nodes == 1:
            private = PrivateRabbitMQ(root)
            stack.push_async_callback(private.stop)
            await private.start()
            broker = Node(private.url, private)
        else:
            cluster = await stack.enter_async_context(PrivateCluster(root, nodes))
            broker = Node(cluster.url, cluster.nodes[(plan.seed - 1) % nodes])
        return await broker_kill(broker, plan, tell)


def _document(plan: KillPlan, nodes: int, findings: Findings) -> str:
    document = {"plan": {**msgspec.to_builtins(plan), "nodes": nodes}, "findings": findings}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def _title(plan: KillPlan, findings: Findings) -> str:
    when = f"Broker killed after {findings.killed_after_s} s of load, away for {findings.away_s} s"
    return f"{when}: {plan.delivery} delivery, {plan.settings().queue_type} queues"


def _table(plan: KillPlan, findings: Findings) -> Table:
    drawn = Table("", "casts", "calls", box=None, header_style="dim", pad_edge=False)
    for column in drawn.columns[1:]:
        column.justify = "right"
    confirmed = "confirmed, answered" if plan.delivery == "durable" else "sent, answered"
    for name, of in (
        ("sent", lambda one: f"{one.sent:,}"),
        (confirmed, lambda one: f"{one.accepted:,}"),
        ("raised", _raised),
        ("hung", lambda one: f"{one.hung:,}"),
        ("gap in service", lambda one: f"{one.gap_s:.2f} s"),
        ("recovered after the broker's return", _recovered),
        ("slowest", lambda one: f"{one.slowest_s:.2f} s"),
    ):
        drawn.add_row(name, of(findings.casts), of(findings.calls))
    lost = f"[red]{findings.lost:,}[/]" if findings.lost else "0"
    for name, casts, calls in (
        (f"{confirmed.partition(',')[0]} but lost", lost, ""),
        ("received twice", f"{findings.twice:,}", ""),
        ("received though the sender was told otherwise", f"{findings.unsure:,}", ""),
        ("in the dead-letter queue", f"{findings.dead:,}", ""),
        ("asked again by the bus", "", f"{findings.asked_again:,}"),
        ("connections made again", f"{findings.reconnects:,}", ""),
    ):
        drawn.add_row(name, casts, calls)
    return drawn


def _raised(service: Service) -> str:
    return ", ".join(f"{count:,} {error}" for error, count in service.raised.items()) or "0"


def _recovered(service: Service) -> str:
    return "never" if service.recovered_s is None else f"{service.recovered_s:.2f} s"
