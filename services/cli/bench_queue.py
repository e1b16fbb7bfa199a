"""Measure the bus and its peers on RabbitMQ."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from novaflow.lab.queue import charts, own, peers, sizes
from novaflow.lab.queue.figures import LIMIT, MEMORY, NOVAFLOW, Measurement, figures
from novaflow.lab.queue.limit import prepare_limit
from novaflow.lab.queue.machine import machine, versions
from novaflow.lab.queue.peers import Contestant, NotAvailable
from novaflow.lab.queue.processes import broker_group
from novaflow.lab.queue.report import Report, html
from novaflow.lab.queue.rounds import Rounds
from novaflow.lab.queue.runs import Broker, Plan
from rpc.address import Address, Node
from rpc.errors import Misconfigured
from services.cli.bench_options import body_size, finite, names, numbers, output, write
from services.cli.bench_view import Progressing, table
from services.private import rabbitmq
from services.private.rabbitmq import BrokerFailed, PrivateRabbitMQ

_LOCAL: Final = ("127.0.0.1", "localhost", "::1")
_INTERRUPTED: Final = 130  # exit status, as shells have it
_REACH_TIMEOUT: Final = 5.0  # seconds
_MOST_IN_FLIGHT: Final = 4096
_ALL: Final = (LIMIT, *peers.PEERS, MEMORY)


class Session:
    """What came of a measurement so far: it can be shown even when it is interrupted."""

    def __init__(self, plan: Plan, size: int | str, broker: str) -> None:
        self.measurements: list[Measurement] = []
        self.left_out: dict[str, str] = {}
        self._plan = plan
        self._size = size
        self._broker = broker

    def report(self) -> Report:
        """All of it, without credentials."""
        plan = self._plan
        kind = f"{plan.pattern}s, {plan.durability}, {_size(self._size)}"
        return Report(
            title=f"Message queue: {kind}",
            when=datetime.now(UTC),
            plan={
                "pattern": plan.pattern,
                "durability": plan.durability,
                "body": _size(self._size),
                "rounds": str(plan.rounds),
                "messages": "about " + f"{plan.seconds:g} s of them" if plan.messages is None else f"{plan.messages:,}",
                "seed": str(plan.seed),
            },
            machine=machine(),
            versions={**versions(), "RabbitMQ": self._broker},
            figures=figures(self.measurements),
            left_out=self.left_out,
        )


@click.command()
@click.option(
    "--broker", "url", help="An amqp:// URL [default: a private RabbitMQ]. Give it a virtual host of its own."
)
@click.option(
    "--pattern", type=click.Choice(["call", "cast", "fanout"]), default="call", show_default=True, help="What is sent."
)
@click.option(
    "--size",
    metavar="N|nova",
    default="1024",
    show_default=True,
    callback=body_size,
    help="Bytes of a body, or as Nova's.",
)
@click.option(
    "--in-flight", metavar="N,N,...", default="1,16,64,256", show_default=True, callback=numbers(1, _MOST_IN_FLIGHT)
)
@click.option(
    "--durability", type=click.Choice(["transient", "durable", "quorum"]), default="transient", show_default=True
)
@click.option(
    "--peers",
    "asked",
    metavar="NAME,NAME,...",
    callback=names(NOVAFLOW, _ALL),
    help=f"Who runs besides novaflow: all, or some of {', '.join(_ALL)} [default: limit, where it can be built].",
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=3.0,
    show_default=True,
    callback=finite,
    help="Length of a run.",
)
@click.option("--messages", type=click.IntRange(1, 300_000), help="Messages of a run, instead of its length.")
@click.option("--listeners", type=click.IntRange(1, 64), default=2, show_default=True, help="Who hear a fanout.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order of runs and the sizes.")
@click.option("--json", "json_file", callback=output, help="Write every measurement there; - for standard output.")
@click.option("--html", "html_file", callback=output, help="Write a report with plots there.")
def queue(asked: tuple[str, ...] | None, json_file: str | None, html_file: str | None, **given: Any) -> None:
    """Measure throughput, latency, CPU and losses of the bus, of other libraries and of the broker's limit.

    Rounds are interleaved, so contestants are compared under the same conditions. The limit is a C client that is built
    where a compiler and librabbitmq are found; other libraries are installed into environments of their own. On a given
    broker the queues are named bench-... and the durable ones stay.

    \b
    Example:
      novaflow bench queue --peers limit,aio-pika,oslo.messaging --html queue.html
    """
    if html_file:
        _require_plotting()
    plan = Plan(
        sizes=sizes.draw(given["size"], given["seed"]),
        **{key: given[key] for key in ("pattern", "durability", "in_flight", "rounds", "seconds", "messages", "seed")},
        listeners=given["listeners"],
    )
    address = None if given["url"] is None else _address(given["url"])
    session = Session(plan, given["size"], _private_version() if address is None else "a given one")
    console = Console(stderr=True)
    interrupted = False
    try:
        asyncio.run(_measure(plan, asked, given["url"], address, session, console))
    except KeyboardInterrupt:
        interrupted = True
    except BrokerFailed as error:
        raise click.ClickException(str(error)) from None
    report = session.report()
    if session.measurements or not interrupted:
        _write(report, session, json_file, html_file)
        shown = console if json_file == "-" or html_file == "-" else Console(width=None if sys.stdout.isatty() else 150)
        shown.print(report.title, markup=False, highlight=False, style="bold")
        shown.print(table(report))
    if interrupted:
        click.echo("Interrupted: what was measured until then is all there is.", err=True)
        sys.exit(_INTERRUPTED)
    if not any(figure.rounds for figure in report.figures):
        raise click.ClickException("nothing could be measured")


async def _measure(
    plan: Plan,
    asked: tuple[str, ...] | None,
    url: str | None,
    address: Address | None,
    session: Session,
    console: Console,
) -> None:
    contestants = await _contestants(asked, session, console)
    async with _broker(url, address, console) as broker:
        with Progressing(console, session.measurements, session.left_out) as watch:
            await Rounds(plan, broker, watch).run(contestants)


async def _contestants(asked: tuple[str, ...] | None, session: Session, console: Console) -> list[Contestant]:
    """Our own and those asked for. Of `all` and of the default the ones that this machine cannot have are left out."""
    wanted = (LIMIT,) if asked is None else asked
    is_optional = asked is None or asked == _ALL
    found = [own.over_broker()]
    for name in wanted:
        try:
            found.append(await _contestant(name, console))
        except NotAvailable as reason:
            if not is_optional:
                raise click.BadParameter(f"{name} is not available: {reason}", param_hint="--peers") from None
            session.left_out[name] = str(reason)
            console.print(f"without {name}: {reason}", highlight=False, markup=False)
    return found


async def _contestant(name: str, console: Console) -> Contestant:
    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    if name == MEMORY:
        return own.in_process()
    if name == LIMIT:
        return await prepare_limit(peers.DEFAULT_CACHE, tell)
    return await peers.prepare(name, peers.DEFAULT_CACHE, tell)


@asynccontextmanager
async def _broker(url: str | None, address: Address | None, console: Console) -> AsyncIterator[Broker]:
    """The given broker, or a private one for as long as it is needed."""
    if url is not None and address is not None:
        node = address.nodes[0]
        await _reach(node)
        yield Broker(url=url, group=broker_group(node.port) if node.host in _LOCAL else None)
        return
    console.print("starting a private RabbitMQ", highlight=False)
    with tempfile.TemporaryDirectory(prefix="novaflow-bench-") as scratch:
        private = PrivateRabbitMQ(Path(scratch))
        try:
            await private.start()
            yield Broker(url=private.url, group=private.pid)
        finally:
            await private.stop()


async def _reach(node: Node) -> None:
    """A broker that is not there is said at once: contestants would each wait for it."""
    try:
        async with asyncio.timeout(_REACH_TIMEOUT):
            _, writer = await asyncio.open_connection(node.host, node.port)
    except OSError:
        raise click.BadParameter(f"nothing answers at {node.where}", param_hint="--broker") from None
    writer.close()


def _address(url: str) -> Address:
    """One node by AMQP's own scheme: that is what every contestant understands."""
    try:
        address = Address.parse(url)
    except Misconfigured as error:
        raise click.BadParameter(str(error), param_hint="--broker") from None
    if len(address.nodes) > 1 or not url.lower().startswith("amqp"):
        raise click.BadParameter("contestants need an amqp:// or amqps:// URL of one node", param_hint="--broker")
    return address


def _require_plotting() -> None:
    try:
        charts.require_plotting()
    except charts.NoPlotting as error:
        raise click.BadParameter(str(error), param_hint="--html") from None


def _private_version() -> str:
    """Of the installed RabbitMQ."""
    try:
        return rabbitmq.programs().parent.name.partition("-")[2] or "unknown"
    except BrokerFailed as error:
        raise click.ClickException(str(error)) from None


def _write(report: Report, session: Session, json_file: str | None, html_file: str | None) -> None:
    document = {
        "when": report.when,
        **{key: getattr(report, key) for key in ("plan", "machine", "versions", "left_out", "figures")},
        "measurements": session.measurements,
    }
    if json_file:
        write(json_file, _json(document))
    if html_file:
        write(html_file, html(report))


def _json(document: dict[str, object]) -> str:
    """JSON with a line for every member, and for every item of a list: a measurement has hundreds of numbers."""
    lines = []
    for key, value in document.items():
        items = [msgspec.json.encode(item).decode() for item in value] if isinstance(value, list) else None
        shown = msgspec.json.encode(value).decode() if items is None else "[\n  " + ",\n  ".join(items) + "\n ]"
        lines.append(f' "{key}": {shown}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _size(size: int | str) -> str:
    return "bodies as large as Nova's" if size == sizes.NOVA else f"bodies of {size:,} bytes"
