"""kill -9 of anything while servers come and go: nothing is stuck, nothing lives twice, nothing is counted wrong.

NOVAFLOW_KILL_ROUNDS (default 1) repeats every case with other moments; NOVAFLOW_KILL_SEED chooses all of them.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.support.crashes import HOSTS, CrashingCloud, Orders, crashing_cloud, until

SERVICES: Final = ("scheduler", "conductor", "compute", "api", "image", "identity")
SERVERS: Final = 24
ROUNDS: Final = int(os.environ.get("NOVAFLOW_KILL_ROUNDS", "1"))
SEED: Final = os.environ.get("NOVAFLOW_KILL_SEED", "novaflow")
DRAIN_TIMEOUT: Final = 30.0  # seconds, as config.Config.drain_timeout

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    pytest.mark.parametrize("number", range(ROUNDS)),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CrashingCloud]:
    """One cloud, hurt by every test of this file and whole after each."""
    async with crashing_cloud(tmp_path_factory.mktemp("crashes")) as cloud:
        yield cloud


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_is_killed_again_and_again_loses_nothing(
    cloud: CrashingCloud, service: str, number: int
) -> None:
    dice, prefix, orders = dice_of(service, number), f"{service}-{number}", Orders()

    async with asyncio.TaskGroup() as client:
        client.create_task(cloud.boot(names(prefix), orders))
        for active in sorted(dice.sample((0, 1, *range(2, SERVERS // 2)), k=2)):
            await orders.is_begun.wait()
            await cloud.active(prefix, active)
            await asyncio.sleep(dice.uniform(0, 0.05))
            await cloud.kill(service)

    await assert_all_there(cloud, orders, prefix)
    await assert_deleted_in_spite_of(cloud.kill(service), cloud)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_stands_still_for_seconds_loses_nothing(
    cloud: CrashingCloud, service: str, number: int
) -> None:
    dice, prefix, orders = dice_of(f"freeze {service}", number), f"frozen-{service}-{number}", Orders()

    async with asyncio.TaskGroup() as client:
        client.create_task(cloud.boot(names(prefix), orders))
        await orders.is_begun.wait()
        await cloud.active(prefix, dice.randrange(SERVERS // 2))
        await cloud.freeze(service, dice.uniform(1.5, 3.0))

    await assert_all_there(cloud, orders, prefix)
    await assert_deleted_in_spite_of(asyncio.sleep(0), cloud)


async def test_a_host_that_is_given_up_and_comes_back_keeps_no_guest_that_went_elsewhere(
    cloud: CrashingCloud, number: int
) -> None:
    dice, prefix, orders = dice_of("given up", number), f"away-{number}", Orders()
    (host, *_) = await cloud.rows("SELECT name FROM hosts ORDER BY name")

    async with asyncio.TaskGroup() as client:
        client.create_task(cloud.boot(names(prefix), orders))
        await orders.is_begun.wait()
        await cloud.active(prefix, dice.randrange(SERVERS // 3))
        frozen = client.create_task(cloud.freeze("compute", 8.0))
        await force_down(cloud, host[0], is_down=True)
        await frozen
        await force_down(cloud, host[0], is_down=False)

    await assert_all_there(cloud, orders, prefix)
    await assert_deleted_in_spite_of(asyncio.sleep(0), cloud)


@pytest.mark.parametrize("server", ["broker", "database"])
async def test_a_broker_or_database_that_is_killed_loses_nothing(
    cloud: CrashingCloud, server: str, number: int
) -> None:
    dice, prefix, orders = dice_of(server, number), f"{server}-{number}", Orders()
    private = cloud.broker if server == "broker" else cloud.database

    async def crash() -> None:
        await private.kill9()
        await asyncio.sleep(dice.uniform(0.2, 2.0))
        await private.start()

    async with asyncio.TaskGroup() as client:
        client.create_task(cloud.boot(names(prefix), orders))
        await orders.is_begun.wait()
        await cloud.active(prefix, dice.randrange(SERVERS // 2))
        await crash()

    await assert_all_there(cloud, orders, prefix)
    await assert_deleted_in_spite_of(crash(), cloud)


async def test_services_that_are_stopped_while_servers_boot_finish_what_they_took(
    cloud: CrashingCloud, number: int
) -> None:
    prefix, orders = f"drained-{number}", Orders()
    took: dict[str, float] = {}

    async with asyncio.TaskGroup() as client:
        for service in SERVICES:
            client.create_task(cloud.boot(names(f"{prefix}-{service}", SERVERS // 3), orders))
            await cloud.active(f"{prefix}-{service}", 1)
            took[service] = await cloud.drained(service)

    assert max(took.values()) < DRAIN_TIMEOUT, took
    servers = await assert_all_there(cloud, orders, prefix, SERVERS // 3 * len(SERVICES))
    assert {server["status"] for server in servers} == {"ACTIVE"}
    await assert_deleted_in_spite_of(asyncio.sleep(0), cloud)


def dice_of(case: str, number: int) -> random.Random:
    """The dice of one case, which fall the same way every time; what they were made of shows when a test fails."""
    print(f"NOVAFLOW_KILL_SEED={SEED} {case} {number}")
    return random.Random(f"{SEED} {case} {number}")  # noqa: S311 - nothing is guarded by it


def names(prefix: str, count: int = SERVERS) -> list[str]:
    return [f"{prefix}-{index}" for index in range(count)]


async def force_down(cloud: CrashingCloud, host: str, *, is_down: bool) -> None:
    asked = {"host": host, "binary": "nova-compute", "forced_down": is_down}
    await cloud.client.ask("PUT", f"{cloud.client.compute}/os-services/force-down", json=asked)


async def assert_all_there(
    cloud: CrashingCloud, orders: Orders, prefix: str, count: int = SERVERS
) -> list[dict[str, Any]]:
    """Every order has its server, one that was accepted exactly one, and each that failed says why."""
    servers = await cloud.settled()
    found = Counter(server["name"] for server in servers)

    assert all(name.startswith(prefix) for name in found)
    assert orders.accepted.items() <= {server["id"]: server["name"] for server in servers}.items()
    assert len(orders.accepted) == len(set(orders.accepted.values())) == count
    assert all(found[name] <= 1 + orders.unclear[name] for name in found)
    assert {error.status for error in orders.refusals} <= {HTTPStatus.SERVICE_UNAVAILABLE}, orders.refusals
    assert {server["status"] for server in servers} <= {"ACTIVE", "ERROR"}
    failed = [server for server in servers if server["status"] == "ERROR"]
    print(f"{prefix}: {len(servers)} servers", [server["fault"]["message"] for server in failed])
    assert all(server["fault"]["message"] for server in failed)
    assert len(failed) <= count / 4
    await assert_counted_exactly(cloud, servers)
    await assert_quiet(cloud)
    return servers


async def assert_deleted_in_spite_of(hurt: Any, cloud: CrashingCloud) -> None:
    """Every server goes although something is hurt meanwhile, and nothing of it is left."""
    orders = Orders()
    server_ids = [server["id"] for server in await cloud.servers()]
    async with asyncio.TaskGroup() as client:
        client.create_task(cloud.delete(server_ids, orders))
        await orders.is_begun.wait()
        await hurt

    async def are_gone() -> bool:
        return not await cloud.servers()

    await until(are_gone, "servers are left", facts=cloud.servers)
    assert await cloud.settled() == []
    assert {error.status for error in orders.refusals} <= {HTTPStatus.SERVICE_UNAVAILABLE}, orders.refusals
    await assert_counted_exactly(cloud, [])
    await assert_quiet(cloud)


async def assert_counted_exactly(cloud: CrashingCloud, servers: list[dict[str, Any]]) -> None:
    """The quota, the hosts' claims, the addresses and the hypervisors' guests all tell the same."""
    limits = (await cloud.client.ask("GET", f"{cloud.client.compute}/limits"))["limits"]["absolute"]
    placed = {server["id"]: server["OS-EXT-SRV-ATTR:host"] for server in servers if server["status"] == "ACTIVE"}
    taken = Counter(placed.values())
    claims = await cloud.rows("SELECT name, servers, vcpus_used, ram_mb_used, disk_gb_used FROM hosts ORDER BY name")
    addressed = await cloud.rows("SELECT a.server_id FROM addresses a LEFT JOIN servers s ON s.id = a.server_id AND NOT s.is_deleted WHERE s.id IS NULL")

    assert limits["totalInstancesUsed"] == limits["totalCoresUsed"] == len(servers)
    assert limits["totalRAMUsed"] == len(servers) * 512
    assert len(claims) == HOSTS
    assert claims == [(name, taken[name], taken[name], taken[name] * 512, taken[name]) for name, *_ in claims]
    assert cloud.guests() == sorted((host, server_id) for server_id, host in placed.items())
    assert addressed == []


async def assert_quiet(cloud: CrashingCloud) -> None:
    """No message is left anywhere, and no service has written what a reader would take for a bug."""

    async def are_empty() -> bool:
        return not await cloud.queued()

    await until(are_empty, "messages are left", facts=cloud.queued, pause=0.5)
    lines = cloud.logged()
    assert not [line for line in lines if "Traceback" in line], "\n".join(lines)
