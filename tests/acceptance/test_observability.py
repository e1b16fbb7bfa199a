"""A cloud as those who watch it see it: every process by itself, a boot in a collector, a broker that dies."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from novaflow.lab.openstack import OpenStack, connect
from services import spans
from services.cloud import ORDER
from services.detached import admin, detached
from services.private.rabbitmq import PrivateRabbitMQ
from services.targets import targets
from tests.acceptance.test_cli import novaflow
from tests.support.collector import Collector, Received, collecting
from tests.support.disks import qcow2

PATIENCE: Final = 90.0
HAVE_A_DATABASE: Final = {"identity", "image", "conductor", "scheduler", "api"}
HAVE_A_BUS: Final = {"conductor", "scheduler", "compute", "api"}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@dataclass
class Watched:
    """A cloud of processes, its broker, its collector, and a client that scrapes."""

    state_dir: Path
    broker: PrivateRabbitMQ
    collector: Collector
    client: OpenStack
    http: aiohttp.ClientSession
    said: list[str] = field(default_factory=list)

    def processes(self) -> dict[str, int]:
        """Process ids by service."""
        found: dict[str, int] = msgspec.json.decode((self.state_dir / "up.json").read_bytes())["processes"]
        return found

    async def health(self, service: str) -> tuple[int, dict[str, Any]]:
        """What a process says of itself."""
        async with self.http.get(f"http://{self._target(service)}/healthz") as response:
            return response.status, await response.json()

    async def metrics(self, service: str) -> dict[str, Metric]:
        """The metric families of a process."""
        async with self.http.get(f"http://{self._target(service)}/metrics") as response:
            assert response.status == 200
            return {family.name: family for family in text_string_to_metric_families(await response.text())}

    async def total(self, process: str, sample: str, /, **labels: str) -> float:
        """The sum of a process's samples of this name with these labels among theirs."""
        found = [one for family in (await self.metrics(process)).values() for one in family.samples]
        return sum(one.value for one in found if one.name == sample and labels.items() <= one.labels.items())

    def _target(self, service: str) -> str:
        return targets(self.state_dir)[self.processes()[service]]

    async def boot(self) -> str:
        """A server that is ACTIVE, ordered with a token of its own."""
        await self.client.login()
        image = await self.client.upload_image("disk", qcow2(), disk_format="qcow2", container_format="bare")
        server_id = await self.client.boot("watched", image, "1", networks="auto")
        async with asyncio.timeout(PATIENCE):
            while (server := await self.client.server(server_id)) is None or server["status"] == "BUILD":
                await asyncio.sleep(0.1)
        assert server["status"] == "ACTIVE", server
        return server_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """One cloud for the tests of this file."""
    state_dir = tmp_path_factory.mktemp("watched")
    async with (
        PrivateRabbitMQ(state_dir / "rabbitmq") as broker,
        collecting() as collector,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
    ):
        config = state_dir / "watched.toml"
        config.write_text(f'[trace]\notlp_endpoint = "{collector.url}"\n')
        words = ["--config", str(config), "--processes", "--virt", "fake", "--bus", broker.url, "--port-base", "0"]
        async with detached(words, state_dir) as running, connect(admin(running)) as client:
            yield Watched(state_dir, broker, collector, client, http)


async def test_every_process_is_well_and_says_what_it_has(cloud: Watched) -> None:
    assert set(cloud.processes()) == set(ORDER)
    for service in ORDER:
        status, health = await cloud.health(service)
        assert (status, health["status"], health["reasons"]) == (200, "ok", []), health
        assert health["services"] == {service: "ready"}
        assert health["broker"] == ("connected" if service in HAVE_A_BUS else None)
        assert health["database"] == ("reachable" if service in HAVE_A_DATABASE else None)


async def test_every_process_has_metrics_of_its_own(cloud: Watched) -> None:
    for service in ORDER:
        found = await cloud.metrics(service)
        assert found["novaflow_build_info"].samples[0].labels["process"] == service
        assert found["process_cpu_seconds"].samples[0].value > 0
        assert ("novaflow_rpc_connected" in found) == (service in HAVE_A_BUS)


async def test_the_command_line_tells_where_they_are(cloud: Watched) -> None:
    status, told = await novaflow("status", "--state-dir", str(cloud.state_dir))

    assert status == 0
    for pid, target in targets(cloud.state_dir).items():
        assert f"process {pid}, http://{target}/metrics" in told


async def test_a_boot_is_counted_where_it_passes(cloud: Watched) -> None:
    await cloud.boot()

    build = {"procedure": "compute.build_and_run_instance"}
    assert await cloud.total("scheduler", "novaflow_rpc_messages_published_total", **build) >= 1
    async with asyncio.timeout(PATIENCE):  # the handler goes on for a moment after the server is ACTIVE
        while not await cloud.total("compute", "novaflow_rpc_messages_handled_total", **build):
            await asyncio.sleep(0.05)
    assert await cloud.total("compute", "novaflow_rpc_handling_seconds_count", **build) >= 1
    assert await cloud.total("compute", "novaflow_rpc_handling_seconds_sum", **build) > 0
    assert await cloud.total("compute", "novaflow_rpc_in_flight", **build) == 0
    asked = {"service": "nova-compute", "procedure": "conductor.start_build"}
    assert await cloud.total("compute", "novaflow_rpc_calling_seconds_count", **asked) >= 1
    ordered = {"service": "nova-api", "method": "POST", "route": "/v2.1/servers", "status": "202"}
    assert await cloud.total("api", "novaflow_http_requests_total", **ordered) >= 1


async def test_a_boot_is_one_tree_in_the_collector(cloud: Watched) -> None:
    server_id = await cloud.boot()

    def of_boot() -> dict[str, Received]:
        """Every span of the boot's trace that has arrived, once the deepest one has."""
        found = [one for one in cloud.collector.spans if one.attributes.get("novaflow.server_id") == server_id]
        trace_id = {one.trace_id for one in found if one.name == "define and start domain"}
        return {one.span_id: one for one in cloud.collector.spans if one.trace_id in trace_id}

    def written() -> dict[str, tuple[str, str, str]]:
        """What the processes wrote of it into their files."""
        trace_ids = {one.trace_id for one in of_boot().values()}
        read = [one for one in spans.read(cloud.state_dir / "trace") if one.trace_id in trace_ids]
        return {one.span_id: (one.parent_id or "", one.service, one.name) for one in read}

    async with asyncio.timeout(PATIENCE):
        while not of_boot() or of_boot().keys() != written().keys():
            await asyncio.sleep(0.1)

    arrived = of_boot()
    assert {key: (one.parent_id, one.service, one.name) for key, one in arrived.items()} == written()
    above = [one for one in arrived.values() if one.name == "define and start domain"]
    while above[-1].parent_id:
        above.append(arrived[above[-1].parent_id])
    assert (above[-1].name, above[-1].service) == ("POST /v2.1/servers", "nova-api")
    assert {"nova-api", "nova-scheduler", "nova-compute"} <= {one.service for one in above}
    for process in ORDER:
        assert await cloud.total(process, "novaflow_otlp_dropped_spans_total") == 0


async def test_a_broker_that_dies_is_told_at_once_and_its_return_counted(cloud: Watched) -> None:
    before = {service: await cloud.total(service, "novaflow_rpc_reconnects_total") for service in HAVE_A_BUS}

    await cloud.broker.kill9()
    try:
        for service in HAVE_A_BUS:
            status, health = await until_health(cloud, service, 503)
            assert (status, health["broker"], health["reasons"]) == (503, "away", ["the broker is away"])
            assert await cloud.total(service, "novaflow_rpc_connected") == 0
        assert (await cloud.health("identity"))[0] == 200
    finally:
        await cloud.broker.start()

    for service in HAVE_A_BUS:
        assert (await until_health(cloud, service, 200))[0] == 200
        assert await cloud.total(service, "novaflow_rpc_reconnects_total") == before[service] + 1
        assert await cloud.total(service, "novaflow_rpc_connected") == 1


async def until_health(cloud: Watched, service: str, wanted: int) -> tuple[int, dict[str, Any]]:
    """What the process says once its status is the wanted one, or in the end."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        found = await cloud.health(service)
        if found[0] == wanted or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.05)


async def test_a_process_that_was_killed_is_found_again_where_its_successor_listens(cloud: Watched) -> None:
    killed = cloud.processes()["scheduler"]
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while cloud.processes().get("scheduler") in (killed, None):
            await asyncio.sleep(0.1)

    assert (await until_health(cloud, "scheduler", 200))[0] == 200
    assert set(targets(cloud.state_dir)) == set(cloud.processes().values())


async def test_a_port_from_the_environment_that_is_in_use_is_one_sentence_that_names_it(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("NOVAFLOW_METRICS_PORT", str(port))

        status, output = await novaflow("up", "--virt", "fake", "--port-base", "0", "--state-dir", str(state_dir))

    assert status == 1
    assert output == f"novaflow: metrics.port: port {port} on 127.0.0.1 is in use by another program\n"
