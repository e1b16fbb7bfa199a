"""Measure a cloud."""

import asyncio
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from novaflow.errors import Invalid
from novaflow.lab.load import PHASES, Plan, measure
from novaflow.lab.openstack import Credentials
from services import cost, processes, settings
from services.cli.bench_broker_kill import kill
from services.cli.bench_ec2 import ec2
from services.cli.bench_hosts import hosts
from services.cli.bench_queue import queue
from services.cli.bench_schedule import schedule
from services.detached import admin, detached, logged_in


@click.group()
def bench() -> None:
    """Measure a cloud, by the load it carries and what it costs, or the bus or the scheduler alone."""


bench.add_command(queue)
bench.add_command(kill)
bench.add_command(hosts)
bench.add_command(schedule)
bench.add_command(ec2)


@bench.command()
@click.option(
    "--private", is_flag=True, help="Start a cloud for it: RabbitMQ, MariaDB, fake driver, every service a process."
)
@click.option(
    "--state-dir", type=click.Path(path_type=Path, file_okay=False), help="Measure the novaflow that runs there."
)
@click.option("--auth-url", envvar="OS_AUTH_URL", help="Measure any OpenStack: its Identity v3 URL.")
@click.option("--user", envvar="OS_USERNAME", default="admin", show_default=True)
@click.option("--password", envvar="OS_PASSWORD", help="Better given as OS_PASSWORD in the environment.")
@click.option("--project", envvar="OS_PROJECT_NAME", default="admin", show_default=True)
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--boots", default=20, show_default=True, type=click.IntRange(min=1), help="Boots one after another.")
@click.option("--bulk", default=200, show_default=True, type=click.IntRange(1, 1000), help="Boots at 16 at a time.")
@click.option("--seconds", default=6.0, show_default=True, help="Length of each closed loop.")
@click.option("--phases", default=",".join(PHASES), show_default=True)
@click.option("--json", "json_file", type=click.File("w"), help="Write the figures there; - for standard output.")
def boot(private: bool, state_dir: Path | None, json_file: Any, **given: Any) -> None:  # noqa: FBT001
    """Boot, read and delete servers through the public REST API; works against any OpenStack.

    \b
    Example:
      novaflow bench boot --private --runs 3 --json boot.json
    """
    plan = _plan(given)
    work = _private(plan) if private else _remote(_credentials(state_dir, given), plan)
    result = asyncio.run(work)
    if json_file:
        json.dump(result, json_file, indent=1)
        json_file.write("\n")
    Console(stderr=True).print(_table(result))


def _plan(given: dict[str, Any]) -> Plan:
    phases = tuple(given["phases"].split(","))
    if unknown := set(phases) - set(PHASES):
        raise click.BadParameter(f"unknown phase {', '.join(sorted(unknown))}; there are {', '.join(PHASES)}")
    return Plan(runs=given["runs"], boots=given["boots"], bulk=given["bulk"], seconds=given["seconds"], phases=phases)


def _credentials(state_dir: Path | None, given: dict[str, Any]) -> Credentials:
    if state_dir:
        return admin(settings.running_config(state_dir))
    if not given["auth_url"] or not given["password"]:
        raise Invalid(reason="say what to measure: --private, --state-dir DIR, or OS_AUTH_URL and OS_PASSWORD")
    return Credentials(**{key: given[key] for key in ("auth_url", "user", "password", "project")})


async def _remote(credentials: Credentials, plan: Plan) -> dict[str, Any]:
    async with logged_in(credentials) as cloud:
        return {"when": datetime.now(UTC).isoformat(), **await measure(cloud, plan, _tell)}


async def _private(plan: Plan) -> dict[str, Any]:
    """A cloud of its own, measured from outside, its memory read before and after."""
    with tempfile.TemporaryDirectory(prefix="novaflow-bench-") as scratch:
        directory = Path(scratch)
        config = directory / "bench.toml"
        config.write_text("[quota]\ninstances = -1\ncores = -1\nram = -1\n")
        arguments = ["--config", str(config), "--processes", "--bus", "private", "--db", "private"]
        began = asyncio.get_running_loop().time()
        async with detached([*arguments, "--virt", "fake", "--port-base", "0"], directory / "state", _tell) as running:
            started = asyncio.get_running_loop().time() - began
            async with logged_in(admin(running)) as cloud:
                before = processes.memory(directory / "state")
                figures = await measure(cloud, plan, _tell)
                after = processes.memory(directory / "state")
                _tell("cost of a boot")
                figures["cost_per_boot"] = await cost.of_boots(cloud, running, plan)
    return {
        "when": datetime.now(UTC).isoformat(),
        "cores": os.cpu_count(),
        "start_s": round(started, 2),
        "rss_mib": {"before": before, "after": after},
        **figures,
    }


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _table(result: dict[str, Any]) -> Table:
    """The medians, a line a figure."""
    median = result["median"]
    drawn = Table("figure", "median", title=f"Boot load, {result['plan']['runs']} runs", title_justify="left")
    for name, value in [*_rows(median), *_costs(result.get("cost_per_boot"))]:
        drawn.add_row(name, value)
    if "rss_mib" in result:
        drawn.add_row("start of the whole cloud", f"{result['start_s']} s")
        for when in ("before", "after"):
            drawn.add_row(f"memory {when} the load", f"{result['rss_mib'][when]['total']} MiB RSS")
    return drawn


def _rows(median: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for loop in median.get("token", []):
        rows.append((f"tokens, {loop['concurrency']} at a time", f"{loop['per_s']}/s"))
    if boots := median.get("boot"):
        for key, name in (("post", "POST"), ("active", "POST to ACTIVE"), ("delete_gone", "DELETE to gone")):
            rows.append((f"{name}, alone", f"{boots[key]['p50_ms']} ms, p95 {boots[key]['p95_ms']} ms"))
    if bulk := median.get("bulk"):
        rows.append(
            (f"boots, {bulk['concurrency']} at a time", f"{bulk['active_per_s']}/s to ACTIVE {bulk['statuses']}")
        )
    for kind, name in (("detail", "GET /servers/detail"), ("list", "GET /servers"), ("get", "GET /servers/{id}")):
        for loop in median.get("reads", {}).get(kind, []):
            rows.append((f"{name}, {loop['concurrency']} at a time", f"{loop['per_s']}/s, p50 {loop['p50_ms']} ms"))
    if deletes := median.get("delete"):
        rows.append(("deletes", f"{deletes['gone_per_s']}/s"))
    return rows


def _costs(cost_of_one: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What one boot cost the cloud, where that could be read."""
    if cost_of_one is None:
        return []
    dearest = sorted(cost_of_one["cpu_ms"].items(), key=lambda item: -item[1])
    return [
        ("CPU of a boot", f"{cost_of_one['cpu_ms_total']} ms"),
        *((f"  {name}", f"{ms} ms") for name, ms in dearest),
        ("messages of a boot", str(cost_of_one["messages"])),
        ("transactions of a boot", str(cost_of_one["transactions"])),
        ("statements of a boot", str(cost_of_one["statements"])),
    ]
