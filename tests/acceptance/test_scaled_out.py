"""Two of every service on a broker of three nodes: what a user gets who adds machines, and what the loss of one node costs."""

import asyncio
import os
import secrets
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest

from novaflow.lab.openstack import OpenStack
from rpc.address import Address
from rpc.queues import open_queues
from services.private.rabbitmq_cluster import PrivateCluster
from tests.support.scaled_out import MACHINES, ScaledOut, scaled_out

SERVERS: Final = 20
PATIENCE: Final = 60.0  # seconds all of them may take; less than a task's lease, so that recovery hides nothing
SERVICES: Final = ("identity", "image", "nova-api", "nova-scheduler", "nova-conductor", "nova-compute")
QUEUES: Final = ("scheduler", "conductor", "compute")

pytestmark = pytest.mark.timeout(240)


async def test_two_of_every_service_share_the_work_and_outlive_a_node_of_the_broker(
    cluster: PrivateCluster, mariadb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVAFLOW_SERVICE_PASSWORD", secrets.token_hex(16))
    async with scaled_out(tmp_path, cluster.url, "quorum", mariadb_url) as cloud:
        image = await cloud.clients[0].upload_image(
            "tiny", BytesIO(os.urandom(2**20)), disk_format="raw", container_format="bare", visibility="public"
        )

        await boot(cloud, image, "before", SERVERS // 2)
        await until_active(cloud.clients[0], 1)
        await cluster.nodes[0].kill9()
        await boot(cloud, image, "after", SERVERS // 2)
        servers = await until_active(cloud.clients[1], SERVERS)

        worked = cloud.worked()
        print(worked)
        assert [pair for machine in MACHINES for service in SERVICES if not worked[pair := (machine, service)]] == []
        assert {server["OS-EXT-SRV-ATTR:host"] for server in servers} == {f"host-{machine}" for machine in MACHINES}
        assert await queued(cluster.nodes[1].url) == {}
        assert not [line for line in cloud.logged() if "Traceback" in line], cloud.logged()


async def boot(cloud: ScaledOut, image: str, name: str, count: int) -> None:
    """Order servers all at once, each at the other API than the one before."""
    clients = [cloud.clients[number % len(cloud.clients)] for number in range(count)]
    await asyncio.gather(
        *(client.boot(f"{name}-{number}", image, "1", networks="auto") for number, client in enumerate(clients))
    )


async def until_active(client: OpenStack, count: int) -> list[dict[str, Any]]:
    """Wait until so many servers are ACTIVE; none may fail."""
    ends = time.monotonic() + PATIENCE
    while True:
        servers: list[dict[str, Any]] = (await client.ask("GET", f"{client.compute}/servers/detail"))["servers"]
        found = Counter(server["status"] for server in servers)
        if found["ACTIVE"] >= count:
            return servers
        assert not found["ERROR"], [server["fault"] for server in servers if "fault" in server]
        assert time.monotonic() < ends, found
        await asyncio.sleep(0.1)


async def queued(url: str) -> dict[str, int]:
    """The services' queues that are not empty, dead letters among them, and what they hold."""
    names = [*QUEUES, *(f"compute.host-{machine}" for machine in MACHINES), *(f"{topic}.dead" for topic in QUEUES)]
    async with open_queues(Address.parse(url)) as queues:
        depths = await queues.depths(names)
    assert {depth.name for depth in depths} >= set(QUEUES)
    return {depth.name: depth.messages for depth in depths if depth.messages}
