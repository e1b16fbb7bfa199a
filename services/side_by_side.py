"""Several schedulers on one database, each a process: do they over-commit a host, and how often does a claim refuse what was chosen?

They place servers until the given share of the cloud is full, so that the last of them have to look for room. Afterwards the database is
asked: what each host has sold, and whether that is what its servers take.
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, Final

from novaflow.clock import SystemClock
from novaflow.config import Database as DatabaseSettings
from novaflow.config import Scheduler
from novaflow.db.companions import ReadCompanions
from novaflow.db.database import Database
from novaflow.db.host_changes import HostChanges
from novaflow.db.hosts import Hosts
from novaflow.db.migrate import upgrade
from novaflow.db.servers import NewServer, Servers
from novaflow.errors import NoValidHost
from novaflow.hosts import Host, HostResources
from novaflow.lab.figures import percentile
from novaflow.models import Context, Flavor, RequestSpec, Server
from novaflow.placement.filters import canonical
from novaflow.quotas import QuotaLimits
from rpc.tracing import Discard, Tracer
from services.host_states import HostStates
from services.placer import Placer

PER_HOST: Final = 4  # servers that fit on a host
CLAIMS: Final = 20
_WAIT: Final = 600.0  # seconds for everything that is waited for
_BATCH: Final = 100
_DECISIONS: Final = 200  # of each scheduler alone, measured before the work begins
_DOWN_TIME: Final = 86400.0  # nobody beats here
_FLAVOR: Final = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)
_RESOURCES: Final = HostResources(vcpus=PER_HOST, ram_mb=PER_HOST * 512, disk_gb=PER_HOST)
_LIMITS: Final = QuotaLimits(instances=-1, cores=-1, ram=-1)
_WHO: Final = Context(request_id="req-bench", user_id="u", project_id="p")
_SPEC: Final = RequestSpec(project_id="p", user_id="u", flavor=_FLAVOR)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many hosts and schedulers, how much of the cloud is to be filled, and how many builds each scheduler has in hand."""

    hosts: int
    schedulers: int
    fill: float
    at_once: int
    settings: Scheduler


async def measure(url: str, plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Fill an empty database with hosts and servers, let the schedulers loose, and say what came of it."""
    await upgrade(url)
    database = await Database.open(url, DatabaseSettings(statement_timeout=120.0))
    try:
        hosts, servers = Hosts(database, SystemClock()), Servers(database, SystemClock())
        tell(f"{plan.hosts} hosts")
        await _make_hosts(hosts, plan.hosts)
        count = int(plan.hosts * PER_HOST * plan.fill)
        tell(f"{count} servers")
        made = await _make_servers(servers, count)
        tell(f"{plan.schedulers} schedulers")
        began = time.monotonic()
        told = await asyncio.to_thread(_run, url, plan, [(one.id, one.task_id or "") for one in made])
        elapsed = time.monotonic() - began
        tell("what the database says")
        return _figures(plan, told, elapsed) | await _audit(hosts, plan.settings)
    finally:
        await database.close()


def _figures(plan: Plan, told: list[dict[str, Any]], elapsed: float) -> dict[str, Any]:
    placed, refused = sum(one["placed"] for one in told), sum(one["refused"] for one in told)
    decisions = [cost for one in told for cost in one["decisions_us"]]
    return {
        "hosts": plan.hosts,
        "schedulers": plan.schedulers,
        "at_once": plan.at_once,
        "fill": plan.fill,
        "ram_weight": plan.settings.ram_weight,
        "host_subset_size": plan.settings.host_subset_size,
        "placed": placed,
        "unplaced": sum(one["unplaced"] for one in told),
        "retries": refused,
        "retries_percent": round(100 * refused / max(1, placed + refused), 2),
        "seconds": round(elapsed, 1),
        "cpu_ms_per_placement": round(sum(one["cpu_s"] for one in told) / max(1, placed) * 1e3, 2),
        "decision_with_read_p50_us": round(percentile(decisions, 50), 1),
        "decision_with_read_p99_us": round(percentile(decisions, 99), 1),
    }


async def _make_hosts(hosts: Hosts, count: int) -> None:
    for first in range(0, count, _BATCH):
        names = [f"c{number:05}" for number in range(first, min(first + _BATCH, count))]
        await asyncio.gather(*(hosts.started(name, _RESOURCES, "nova") for name in names))


async def _make_servers(servers: Servers, count: int) -> list[Server]:
    made: list[Server] = []
    for first in range(0, count, _BATCH):
        drafts = [
            NewServer(name="web", hostname="web", flavor=_FLAVOR, image_id="i")
            for _ in range(first, min(first + _BATCH, count))
        ]
        made += await servers.create(_WHO, drafts, _LIMITS)
    return made


async def _audit(hosts: Hosts, settings: Scheduler) -> dict[str, int]:
    """Hosts that sold more than they have, and hosts whose counters are not what their servers take."""
    before = await hosts.all(SystemClock().now(), _DOWN_TIME)
    for one in before:
        if one.servers:
            await hosts.reconcile(one.name)
    after = await hosts.all(SystemClock().now(), _DOWN_TIME)
    return {
        "over_committed": sum(_is_over_committed(one, settings) for one in after),
        "miscounted": sum(_sold(one) != _sold(other) for one, other in zip(before, after, strict=True)),
        "on_hosts": sum(one.servers for one in after),
    }


def _is_over_committed(host: Host, settings: Scheduler) -> bool:
    has = host.resources
    return (
        host.vcpus_used > has.vcpus * settings.cpu_allocation_ratio
        or host.ram_mb_used > has.ram_mb * settings.ram_allocation_ratio
        or host.disk_gb_used > has.disk_gb * settings.disk_allocation_ratio
    )


def _sold(host: Host) -> tuple[int, int, int, int]:
    return host.servers, host.vcpus_used, host.ram_mb_used, host.disk_gb_used


def _run(url: str, plan: Plan, work: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """One process per scheduler, each with its share; what each of them tells."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(plan.schedulers)
    ends = []
    processes = []
    for number in range(plan.schedulers):
        ours, theirs = context.Pipe(duplex=False)
        share = work[number :: plan.schedulers]
        process = context.Process(target=_scheduler, args=(url, plan, share, barrier, theirs), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        ends.append(ours)
    try:
        return [_heard(end) for end in ends]
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _heard(end: Connection) -> dict[str, Any]:
    if not end.poll(_WAIT):
        raise TimeoutError("a scheduler did not finish in time")
    told: dict[str, Any] = end.recv()
    return told


def _scheduler(url: str, plan: Plan, share: list[tuple[str, str]], barrier: Barrier, end: Connection) -> None:
    """What runs in the process."""
    end.send(asyncio.run(_place_all(url, plan, share, barrier)))


async def _place_all(url: str, plan: Plan, share: list[tuple[str, str]], barrier: Barrier) -> dict[str, Any]:
    database = await Database.open(url, DatabaseSettings())
    try:
        settings = canonical(plan.settings)
        dice = random.Random()  # noqa: S311  spreads the schedulers
        states = HostStates(HostChanges(database), settings, SystemClock(), _DOWN_TIME, dice)
        placer = Placer(states, ReadCompanions(database), settings, Tracer("bench", Discard()), dice)
        servers = Servers(database, SystemClock())
        decisions = await _decisions(placer, share[0][0])
        await asyncio.to_thread(barrier.wait, _WAIT)
        began = time.process_time()
        told = await _place(placer, servers, share, plan.at_once)
        return told | {"decisions_us": decisions, "cpu_s": time.process_time() - began}
    finally:
        await database.close()


async def _decisions(placer: Placer, server_id: str) -> list[float]:
    """What each decision costs this process, the read of what has changed included; the first, which reads everything, is left out."""
    costs = []
    await placer.chosen(_SPEC, server_id)
    for _ in range(_DECISIONS):
        began = time.process_time_ns()
        await placer.chosen(_SPEC, server_id)
        costs.append((time.process_time_ns() - began) / 1e3)
    return costs


async def _place(placer: Placer, servers: Servers, share: list[tuple[str, str]], at_once: int) -> dict[str, Any]:
    counts = {"placed": 0, "refused": 0, "unplaced": 0}
    waiting = iter(share)

    async def work() -> None:
        for server_id, task_id in waiting:
            refused: dict[str, str] = {}
            is_placed = await _place_one(placer, servers, server_id, task_id, refused)
            counts["placed" if is_placed else "unplaced"] += 1
            counts["refused"] += len(refused)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return dict(counts)


async def _place_one(placer: Placer, servers: Servers, server_id: str, task_id: str, refused: dict[str, str]) -> bool:
    async def claim(host: str, ratios: Scheduler) -> bool:
        return await servers.claim(server_id, task_id, host, _SPEC, ratios)

    for _ in range(CLAIMS):
        try:
            if await placer.claimed(_SPEC, server_id, (), refused, claim):
                return True
        except NoValidHost:
            return False
    return False
