"""An unmodified oslo.messaging client asks the services of a running cloud, as a Nova engineer with a console would."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.lab.openstack import OpenStack
from novaflow.models import Flavor, RequestSpec
from services.detached import admin, detached, logged_in
from tests.support.oslo import AGREEMENTS, OsloClient, configuration, oslo_client
from tests.support.rabbitmq import RabbitMQ

SMALL = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)
PATIENCE = 60.0  # seconds


@pytest.fixture
async def cloud(rabbitmq: RabbitMQ, fresh_rabbitmq_url: str, tmp_path: Path) -> AsyncIterator[OpenStack]:
    """Two hosts without a hypervisor, on a broker that others may use too."""
    arguments = ["--bus", fresh_rabbitmq_url, "--virt", "fake", "--hosts", "2", "--port-base", "0"]
    async with detached(arguments, tmp_path / "cloud") as config, logged_in(admin(config)) as cloud:
        yield cloud


async def booted(cloud: OpenStack) -> dict[str, Any]:
    image = await cloud.upload_image("plain", b"\0" * 4096, disk_format="raw", container_format="bare")
    server_id = await cloud.boot("web", image, "1")
    async with asyncio.timeout(PATIENCE):
        while (server := await cloud.server(server_id)) and server["status"] == "BUILD":
            await asyncio.sleep(0.05)
    assert server
    return server


async def destinations(oslo: OsloClient, **asked: object) -> dict[str, Any]:
    """Ask the scheduler as nova/scheduler/rpcapi.py does: method, version, and a watched call."""
    flavor = asked.pop("flavor", SMALL)
    spec = RequestSpec(project_id="p", user_id="u", flavor=flavor)  # type: ignore[arg-type]
    return await oslo.call(
        "scheduler",
        "select_destinations",
        version="4.5",
        args={"spec": msgspec.to_builtins(spec), **asked},
        options={"timeout": 30, "call_monitor_timeout": 20},
        context={"user_id": "u", "project_id": "p", "request_id": "req-1", "is_admin": True, "roles": ["admin"]},
    )


async def test_the_scheduler_and_a_compute_host_answer(
    cloud: OpenStack, fresh_rabbitmq_url: str, tmp_path: Path
) -> None:
    server = await booted(cloud)
    hosts = [f"{socket.gethostname()}-{number}" for number in (1, 2)]
    host = server["OS-EXT-SRV-ATTR:host"]
    (other,) = {*hosts} - {host}
    settings = configuration(fresh_rabbitmq_url, "nova", AGREEMENTS["durable"].options)

    with oslo_client(tmp_path / "oslo", settings) as oslo:
        spread = await destinations(oslo, num_instances=3)
        elsewhere = await destinations(oslo, ignore_hosts=[host])
        nowhere = await destinations(oslo, flavor=msgspec.structs.replace(SMALL, vcpus=100_000))
        senseless = await destinations(oslo, num_instances=0)
        console = await oslo.call(
            "compute", "get_console_output", version="6.0", args={"server_id": server["id"]}, target={"server": host}
        )
        newer = await oslo.call("compute", "get_console_output", version="7.0", args={"server_id": server["id"]})

    assert server["status"] == "ACTIVE"
    assert sorted(spread["result"]["hosts"]) == sorted([host, other, other])
    assert elsewhere["result"]["hosts"] == [other]
    assert nowhere["error"]["exc_type"] == "NoValidHost"
    assert "core: " in nowhere["error"]["value"]
    assert (senseless["error"]["exc_type"], senseless["error"]["value"]) == (
        "Invalid",
        "num_instances: 0 is not between 1 and 100",
    )
    assert "boot 1" in console["result"]["output"]
    assert newer["error"]["class"] == "RemoteError"
    assert "7.0" in newer["error"]["value"]
