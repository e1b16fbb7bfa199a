"""kill -9 of any service while servers boot: nothing is stuck, nothing lives twice, nothing is counted wrong."""

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from novaflow.lab.openstack import ApiError, OpenStack, connect
from services.detached import admin, detached

SERVERS = 24
KILL_AFTER = 4  # active servers
SETTINGS = """
[quota]
instances = 1000
cores = 1000
ram = 1000000
[conductor]
task_lease = 4.0
recovery_interval = 0.5
[compute]
heartbeat_interval = 1.0
service_down_time = 20.0
[bus]
retry_delay = 0.2
"""
CLOUD = ("--processes", "--bus", "private", "--db", "private", "--virt", "fake", "--hosts", "2", "--port-base", "0")


@pytest.mark.timeout(420)
async def test_kill_9_of_each_service_in_turn_while_servers_boot(state_dir: Path, tmp_path: Path) -> None:
    config = tmp_path / "kill.toml"
    config.write_text(SETTINGS)
    async with detached(["--config", str(config), *CLOUD], state_dir) as running, connect(admin(running)) as cloud:
        facts = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
        image = await cloud.upload_image("any", os.urandom(65536), **facts)
        for service in ("scheduler", "conductor", "compute", "api", "image", "identity"):
            boots = asyncio.gather(*(boot(cloud, image, f"{service}-{number}") for number in range(SERVERS)))
            await some_are_active(cloud, service)
            killed = kill(state_dir, service)
            await boots
            await replaced(state_dir, service, killed)

            servers = await settled(cloud)

            assert_whole(service, servers)
            await assert_counted_exactly(cloud, servers, state_dir)
            await delete_all(cloud, servers)
            await assert_counted_exactly(cloud, [], state_dir)


async def boot(cloud: OpenStack, image: str, name: str) -> None:
    """Order a server; while the cloud is being hurt an order may have to be given again."""
    async with asyncio.timeout(60):
        while True:
            try:
                await cloud.boot(name, image, "1")
            except (aiohttp.ClientError, ApiError) as error:
                if isinstance(error, ApiError) and error.status < 500:
                    raise
                await asyncio.sleep(0.2)
            else:
                return


async def listed(cloud: OpenStack) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while True:
            try:
                servers = (await cloud.ask("GET", f"{cloud.compute}/servers/detail?limit=1000"))["servers"]
            except (aiohttp.ClientError, ApiError):
                await asyncio.sleep(0.2)
            else:
                return list(servers)


async def some_are_active(cloud: OpenStack, service: str) -> None:
    async with asyncio.timeout(60):
        while sum(s["status"] == "ACTIVE" for s in await listed(cloud) if s["name"].startswith(service)) < KILL_AFTER:
            await asyncio.sleep(0.02)


def processes(state_dir: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((state_dir / "up.json").read_text())["processes"]
    return found


def kill(state_dir: Path, service: str) -> int:
    pid = processes(state_dir)[service]
    os.kill(pid, signal.SIGKILL)
    return pid


async def replaced(state_dir: Path, service: str, killed: int) -> None:
    async with asyncio.timeout(60):
        while processes(state_dir).get(service, killed) == killed:
            await asyncio.sleep(0.1)


async def settled(cloud: OpenStack) -> list[dict[str, Any]]:
    """Every server, once none of them is on its way to anything."""
    async with asyncio.timeout(90):
        while True:
            servers = await listed(cloud)
            if not any(server["OS-EXT-STS:task_state"] or server["status"] == "BUILD" for server in servers):
                return servers
            await asyncio.sleep(0.2)


def assert_whole(service: str, servers: list[dict[str, Any]]) -> None:
    """Each order has its server, and each that failed says why."""
    names = Counter(server["name"] for server in servers)
    assert set(names) == {f"{service}-{number}" for number in range(SERVERS)}
    assert {server["status"] for server in servers} <= {"ACTIVE", "ERROR"}
    for server in servers:
        assert server["status"] == "ACTIVE" or server["fault"]["message"]
    assert sum(server["status"] == "ACTIVE" for server in servers) >= SERVERS / 2


async def assert_counted_exactly(cloud: OpenStack, servers: list[dict[str, Any]], state_dir: Path) -> None:
    """The quota, the hosts' claims and the hypervisors' guests all tell the same."""
    active = [server["id"] for server in servers if server["status"] == "ACTIVE"]
    limits = (await cloud.ask("GET", f"{cloud.compute}/limits"))["limits"]["absolute"]
    used = await cloud.ask("GET", f"{cloud.compute}/os-hypervisors/statistics")
    guests = Counter(path.stem for path in state_dir.rglob("guests/*.json"))

    assert limits["totalInstancesUsed"] == len(servers)
    assert limits["totalCoresUsed"] == len(servers)
    assert used["hypervisor_statistics"]["vcpus_used"] == len(active)
    assert guests == Counter(active)


async def delete_all(cloud: OpenStack, servers: list[dict[str, Any]]) -> None:
    await asyncio.gather(*(cloud.delete_server(server["id"]) for server in servers))
    async with asyncio.timeout(60):
        while await listed(cloud):
            await asyncio.sleep(0.1)
