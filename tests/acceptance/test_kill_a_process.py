"""kill -9 of anything while servers come and go: nothing is stuck, nothing lives twice, nothing is counted wrong.

NOVAFLOW_KILL_ROUNDS (default 1) repeats every case, each time at other moments; NOVAFLOW_KILL_SEED chooses the moments.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from signal import SIGKILL
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.support.crashes import HOSTS, CrashingCloud, Orders, crashing_cloud, until

SERVICES: Final = ("scheduler", "conductor", "compute", "api", "image", "identity")
BATCH: Final = 16  # servers ordered at once
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


@dataclass
class Case:
    """Servers that are ordered in one test, and the dice that choose when they are disturbed."""

    cloud: CrashingCloud
    name: str
    image: str
    orders: Orders = field(default_factory=Orders)
    ordered: int = 0

    def __post_init__(self) -> None:
        said = f"NOVAFLOW_KILL_SEED={SEED} {self.name}"
        print(said)
        self.dice = random.Random(said)

    async def boot(self, batch: str = "") -> None:
        """Order a batch of servers, until all are accepted."""
        self.ordered += BATCH
        names = [f"{self.name}{batch}-{index}" for index in range(BATCH)]
        await self.cloud.boot(names, self.image, self.orders)

    async def boot_and_delete(self, batch: str) -> None:
        """Order a batch of servers, and the end of each of them as soon as all are accepted."""
        await self.boot(batch)
        mine = [
            server_id for server_id, name in self.orders.accepted.items() if name.startswith(f"{self.name}{batch}-")
        ]
        await self.cloud.delete(mine, self.orders)

    async def is_under_way(self, active: int, batch: str = "") -> None:
        """Wait until so many servers of a batch are ACTIVE, for 0 until the first one of any is accepted; and a moment more."""
        await self.orders.is_begun.wait()
        await self.cloud.active(f"{self.name}{batch}-", active)
        await asyncio.sleep(self.dice.uniform(0, 0.05))


async def case_of(cloud: CrashingCloud, name: str) -> Case:
    """A case with an image of its own, which every host must fetch."""
    return Case(cloud, name, await cloud.upload(name))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_is_killed_again_and_again_loses_nothing(
    cloud: CrashingCloud, service: str, number: int
) -> None:
    case = await case_of(cloud, f"{service}-{number}")

    async with asyncio.TaskGroup() as client:
        for batch, active in (("-a", 0), ("-b", case.dice.randrange(1, BATCH // 2))):
            client.create_task(case.boot(batch))
            client.create_task(case.boot_and_delete(f"{batch}-in-vain"))
            await case.is_under_way(active, batch)
            await cloud.kill(service)

    await assert_all_there(case)
    await assert_deleted_in_spite_of(cloud.kill(service), cloud)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_stands_still_for_seconds_loses_nothing(
    cloud: CrashingCloud, service: str, number: int
) -> None:
    case = await case_of(cloud, f"frozen-{service}-{number}")

    async with asyncio.TaskGroup() as client:
        client.create_task(case.boot())
        await case.is_under_way(case.dice.randrange(BATCH // 2))
        await cloud.freeze(service, case.dice.uniform(1.0, 3.0))

    await assert_all_there(case)
    await assert_deleted_in_spite_of(cloud.freeze(service, 1.0), cloud)


async def test_a_host_that_is_given_up_and_comes_back_keeps_no_guest_that_went_elsewhere(
    cloud: CrashingCloud, number: int
) -> None:
    case = await case_of(cloud, f"given-up-{number}")
    ((host,), *_) = await cloud.rows("SELECT name FROM hosts ORDER BY name")

    async with asyncio.TaskGroup() as client:
        client.create_task(case.boot())
        await case.is_under_way(case.dice.randrange(BATCH // 3))
        frozen = client.create_task(cloud.freeze("compute", 8.0))
        await force_down(cloud, host, is_down=True)
        await frozen
        await force_down(cloud, host, is_down=False)

    await assert_all_there(case)
    await assert_deleted_in_spite_of(asyncio.sleep(0), cloud)


@pytest.mark.parametrize(("server", "seconds"), [("broker", 0.0), ("database", 0.0), ("database", 10.0)])
async def test_a_broker_or_database_that_is_killed_loses_nothing(
    cloud: CrashingCloud, server: str, seconds: float, number: int
) -> None:
    case = await case_of(cloud, f"{server}-{seconds:g}-{number}")
    private = cloud.broker if server == "broker" else cloud.database

    async def crash() -> None:
        await private.kill9()
        await asyncio.sleep(seconds)
        await private.start()

    async with asyncio.TaskGroup() as client:
        client.create_task(case.boot())
        await case.is_under_way(case.dice.randrange(3))
        await crash()

    await assert_all_there(case)
    await assert_deleted_in_spite_of(crash(), cloud)


async def test_a_cloud_whose_every_process_is_killed_at_once_loses_nothing(cloud: CrashingCloud, number: int) -> None:
    case = await case_of(cloud, f"everything-{number}")

    async def crash() -> None:
        killed = {service: cloud.signal(service, SIGKILL) for service in SERVICES}
        await asyncio.gather(cloud.broker.kill9(), cloud.database.kill9())
        await asyncio.gather(cloud.broker.start(), cloud.database.start())
        await asyncio.gather(*(cloud.replaced(service, pid) for service, pid in killed.items()))

    async with asyncio.TaskGroup() as client:
        client.create_task(case.boot())
        await case.is_under_way(case.dice.randrange(BATCH // 2))
        await crash()

    await assert_all_there(case)
    await assert_deleted_in_spite_of(crash(), cloud)


async def test_services_that_are_stopped_while_servers_boot_finish_what_they_took(
    cloud: CrashingCloud, number: int
) -> None:
    case = await case_of(cloud, f"drained-{number}")
    took: dict[str, float] = {}

    async with asyncio.TaskGroup() as client:
        for service in SERVICES:
            client.create_task(case.boot(f"-{service}"))
            await case.is_under_way(1, f"-{service}")
            took[service] = await cloud.drained(service)

    print(took)
    assert max(took.values()) < DRAIN_TIMEOUT, took
    servers = await assert_all_there(case)
    assert {server["status"] for server in servers} == {"ACTIVE"}
    await assert_deleted_in_spite_of(asyncio.sleep(0), cloud)


async def force_down(cloud: CrashingCloud, host: str, *, is_down: bool) -> None:
    asked = {"host": host, "binary": "nova-compute", "forced_down": is_down}
    await cloud.client.ask("PUT", f"{cloud.client.compute}/os-services/force-down", json=asked)


async def assert_all_there(case: Case) -> list[dict[str, Any]]:
    """Every order has its server, one that was accepted exactly one, and each that failed says why."""
    cloud, orders = case.cloud, case.orders
    servers = await cloud.settled()
    found = Counter(server["name"] for server in servers)
    failed = [server for server in servers if server["status"] != "ACTIVE"]
    print(f"{len(servers)} servers", [(server["status"], server["fault"]["message"]) for server in failed])

    wanted = {server_id: name for server_id, name in orders.accepted.items() if server_id not in orders.deleted}
    there = {server["id"]: server["name"] for server in servers}
    assert len(orders.accepted) == len(set(orders.accepted.values())) == case.ordered
    assert wanted.items() <= there.items()
    assert not orders.deleted & there.keys()
    assert found <= Counter(wanted.values()) + orders.unclear
    assert {error.status for error in orders.refusals} <= {HTTPStatus.SERVICE_UNAVAILABLE}, orders.refusals
    assert {server["status"] for server in failed} <= {"ERROR"}
    assert all(server["fault"]["message"] for server in failed)
    assert len(failed) <= case.ordered / 4
    await assert_counted_exactly(cloud, servers)
    await assert_quiet(cloud)
    return servers


async def assert_deleted_in_spite_of(hurt: Coroutine[Any, Any, None], cloud: CrashingCloud) -> None:
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
    addressed = {server_id for (server_id,) in await cloud.rows("SELECT server_id FROM addresses")}

    assert limits["totalInstancesUsed"] == limits["totalCoresUsed"] == len(servers)
    assert limits["totalRAMUsed"] == len(servers) * 512
    assert len(claims) == HOSTS
    assert claims == [(name, taken[name], taken[name], taken[name] * 512, taken[name]) for name, *_ in claims]
    assert cloud.guests() == sorted((host, server_id) for server_id, host in placed.items())
    assert placed.keys() <= addressed <= {server["id"] for server in servers}


async def assert_quiet(cloud: CrashingCloud) -> None:
    """No message is left anywhere, and no service has written what a reader would take for a bug."""

    async def are_empty() -> bool:
        return not await cloud.queued()

    await until(are_empty, "messages are left", facts=cloud.queued, pause=0.5)
    lines = cloud.logged()
    assert not [line for line in lines if "Traceback" in line], "\n".join(lines)
