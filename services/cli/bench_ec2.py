"""Measure both doors of a cloud side by side, and beside moto's server."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from novaflow.errors import Invalid
from novaflow.lab.ec2 import moto
from novaflow.lab.ec2.doors import EC2, OPENSTACK
from novaflow.lab.ec2.figures import Figure, figures
from novaflow.lab.ec2.rounds import BOOT, LIST, Contestant, Plan, Void, fewest, measure, name_of
from novaflow.lab.queue.machine import machine, versions
from novaflow.lab.queue.peers import NotAvailable
from services import two_doors
from services.cli.bench_options import finite, names, numbers, output, write

_LONGEST_LOOP: Final = 240  # seconds: one signature is used for a whole loop, and is good for 300
_ACTS: Final = {BOOT: "RunInstances | POST /servers", LIST: "DescribeInstances | GET /servers/detail"}


@click.command()
@click.option(
    "--clouds",
    metavar="NAME,NAME",
    default=",".join(two_doors.CLOUDS),
    show_default=True,
    callback=names("", tuple(two_doors.CLOUDS)),
    help="full: every service a process, on RabbitMQ and MariaDB; embedded: one process.",
)
@click.option(
    "--peers",
    "asked",
    metavar="NAME",
    callback=names("novaflow", (moto.NAME,)),
    help=f"{moto.NAME}, or novaflow for none [default: {moto.NAME}, where it can be installed].",
)
@click.option("--instances", type=click.IntRange(1, 1000), default=200, show_default=True, help="Of each cloud.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--connections", metavar="N,N,...", default="1,4", show_default=True, callback=numbers(1, 64))
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, _LONGEST_LOOP),
    default=3.0,
    show_default=True,
    callback=finite,
    help="Length of each loop of listings.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order of turns.")
@click.option("--json", "json_file", callback=output, help="Write every measurement there; - for standard output.")
def ec2(clouds: tuple[str, ...], asked: tuple[str, ...] | None, json_file: str | None, **given: Any) -> None:
    """RunInstances and DescribeInstances beside POST /servers and GET /servers/detail, and beside moto's server.

    New clouds are filled through both doors with the fake driver, then all of their servers are listed at both, in
    interleaved rounds. An answer that does not have every server in it makes the measurement void.

    \b
    Example:
      novaflow bench ec2 --clouds full --json ec2.json
    """
    try:
        document = asyncio.run(_measured(clouds, asked, Plan(**given)))
    except (Void, NotAvailable) as error:
        raise click.ClickException(str(error)) from error
    if json_file:
        write(json_file, msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n")
    console = Console(stderr=True)
    for act, title in _ACTS.items():
        console.print(_table(title, [figure for figure in document["figures"] if figure.act == act]))


async def _measured(clouds: tuple[str, ...], asked: tuple[str, ...] | None, plan: Plan) -> dict[str, Any]:
    left_out: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="novaflow-bench-")))
        contestants: list[Contestant] = []
        try:
            contestants += await _peers(asked, scratch, stack)
        except NotAvailable as reason:
            if asked is not None:
                raise
            left_out[moto.NAME] = str(reason)
            _tell(f"without {moto.NAME}: {reason}")
        for name in clouds:
            _tell(f"starting a cloud: {name}")
            contestants += await stack.enter_async_context(two_doors.opened(name, scratch, _tell))
        if plan.instances < (least := fewest(contestants, plan)):
            raise Invalid(reason=f"--instances: so many turns have something to order with {least} or more")
        measurements = await measure(contestants, plan, _tell)
    return {
        "when": datetime.now(UTC),
        "machine": machine(),
        "versions": {**versions(), moto.NAME: moto.version()},
        "plan": plan,
        "left_out": left_out,
        "figures": figures(measurements),
        "measurements": measurements,
    }


async def _peers(asked: tuple[str, ...] | None, scratch: Path, stack: AsyncExitStack) -> list[Contestant]:
    if asked is not None and moto.NAME not in asked:
        return []
    return [await stack.enter_async_context(moto.running(await moto.installed(_tell), scratch))]


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _table(title: str, found: list[Figure]) -> Table:
    """Rates, latencies and CPU, and how many times as fast each is as OpenStack's door of its cloud, and as moto."""
    drawn = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for heading in ("at a time", "door", "per s", "p50 ms", "CPU ms", "x OpenStack", f"x {moto.NAME}"):
        drawn.add_column(heading, justify="left" if heading == "door" else "right", no_wrap=True)
    for figure in found:
        beside = figure.times_as_fast_as
        cloud = figure.contestant.partition(", ")[0]
        ratios = (beside.get(name_of(cloud, OPENSTACK)), beside.get(name_of(moto.NAME, EC2)))
        cells = (_number(figure.per_s, 1), _number(figure.p50_ms, 1), _number(figure.cpu_ms, 1))
        drawn.add_row(str(figure.connections), figure.contestant, *cells, *(_number(ratio, 2) for ratio in ratios))
    return drawn


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
