"""Measure the scheduler: what a decision costs over more and more hosts, and several schedulers side by side."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from novaflow.config import Scheduler
from novaflow.lab.queue.machine import machine, versions
from novaflow.lab.schedule.cost import Disagreement
from novaflow.lab.schedule.cost import measure as cost_of
from services import side_by_side
from services.cli.bench_options import numbers, output, write
from services.private.mariadb import DatabaseFailed, PrivateMariaDB

_MOST_HOSTS: Final = 100_000
_FULL: Final = 1.0


@click.command("schedule")
@click.option(
    "--hosts", metavar="N,N,...", default="10,100,1000,10000", show_default=True, callback=numbers(1, _MOST_HOSTS)
)
@click.option("--decisions", type=click.IntRange(1, 1_000_000), default=5000, show_default=True, help="Of each fleet.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the fleets and the questions.")
@click.option(
    "--schedulers", type=click.IntRange(0, 32), default=4, show_default=True, help="Side by side; 0: leave that out."
)
@click.option("--side-hosts", type=click.IntRange(1, _MOST_HOSTS), default=1000, show_default=True, help="They share.")
@click.option("--fill", type=click.FloatRange(0.01, _FULL), default=0.95, show_default=True, help="Of their room.")
@click.option("--at-once", type=click.IntRange(1, 64), default=4, show_default=True, help="Builds each has in hand.")
@click.option("--ram-weight", type=float, default=1.0, show_default=True, help="Below zero packs servers.")
@click.option("--subset", type=click.IntRange(1, 1000), default=1, show_default=True, help="scheduler.host_subset_size")
@click.option(
    "--db", type=click.Choice(["mariadb", "sqlite"]), default="mariadb", show_default=True, help="A private one."
)
@click.option("--json", "json_file", callback=output, help="Write the figures there; - for standard output.")
def schedule(json_file: str | None, **given: Any) -> None:
    """What a decision of the scheduler costs in CPU, beside a straightforward filter loop over the same hosts.

    Every so often the loop answers the same question, and must agree. Then several schedulers, each a process, fill one cloud in a
    database together: how often a claim refuses what was chosen, and whether a host was ever sold twice.

    \b
    Example:
      novaflow bench schedule --side-hosts 10000 --json schedule.json
    """
    settings = Scheduler(ram_weight=given["ram_weight"], host_subset_size=given["subset"])
    try:
        figures = _measured(settings, given)
    except (DatabaseFailed, Disagreement, TimeoutError) as error:
        raise click.ClickException(str(error)) from error
    if json_file:
        write(json_file, msgspec.json.format(msgspec.json.encode(figures), indent=1).decode() + "\n")
    console = Console(stderr=True)
    console.print(_costs(figures["cost"]))
    if "side_by_side" in figures:
        console.print(_side_by_side(figures["side_by_side"]))


def _measured(settings: Scheduler, given: dict[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = {"when": datetime.now(UTC), "machine": machine(), "versions": versions(), "cost": []}
    for count in given["hosts"]:
        _tell(f"decisions over {count} hosts")
        figures["cost"].append(cost_of(count, given["decisions"], settings, given["seed"]))
    if given["schedulers"]:
        # Nothing is oversold, so that the hosts are full when they look full.
        sold = msgspec.structs.replace(
            settings, cpu_allocation_ratio=_FULL, ram_allocation_ratio=_FULL, disk_allocation_ratio=_FULL
        )
        plan = side_by_side.Plan(
            hosts=given["side_hosts"],
            schedulers=given["schedulers"],
            fill=given["fill"],
            at_once=given["at_once"],
            settings=sold,
        )
        figures["side_by_side"] = asyncio.run(_shared(given["db"], plan))
    return figures


async def _shared(kind: str, plan: side_by_side.Plan) -> dict[str, Any]:
    async with _database(kind) as url:
        return {"database": kind, **await side_by_side.measure(url, plan, _tell)}


@asynccontextmanager
async def _database(kind: str) -> AsyncIterator[str]:
    root = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="novaflow-bench-")
    try:
        if kind == "sqlite":
            yield f"sqlite+aiosqlite:///{Path(root.name) / 'bench.sqlite'}"
        else:
            async with PrivateMariaDB(Path(root.name)) as server:
                yield server.url
    finally:
        await asyncio.to_thread(root.cleanup)


def _costs(rows: list[dict[str, Any]]) -> Table:
    drawn = Table(title="CPU of a decision, µs", title_justify="left", box=None, header_style="dim", pad_edge=False)
    for heading in ("hosts", "p50", "p99", "loop p50", "loop p99", "ratio", "nobody fits", "first order"):
        drawn.add_column(heading, justify="right")
    for row in rows:
        figures = (row["p50_us"], row["p99_us"], row["loop_p50_us"], row["loop_p99_us"], row["ratio"])
        more = (row["refusal_p50_us"], row["first_order_us"])
        drawn.add_row(f"{row['hosts']:,}", *(f"{value:,.1f}" for value in (*figures, *more)))
    return drawn


def _side_by_side(found: dict[str, Any]) -> Table:
    drawn = Table("figure", "", title=f"{found['schedulers']} schedulers side by side", title_justify="left", box=None)
    for name, value in (
        ("hosts", f"{found['hosts']:,}"),
        ("placed", f"{found['placed']:,} in {found['seconds']} s, {found['unplaced']} not"),
        ("retries", f"{found['retries']:,}, {found['retries_percent']} %"),
        ("over-committed hosts", str(found["over_committed"])),
        ("miscounted hosts", str(found["miscounted"])),
        ("CPU of a placement, claim included", f"{found['cpu_ms_per_placement']} ms"),
        ("CPU of a decision, its read included", f"{found['decision_with_read_p50_us']:,.0f} µs"),
    ):
        drawn.add_row(name, value)
    return drawn


def _tell(line: str) -> None:
    click.echo(line, err=True)
