"""The Compute API with an image service, one compute host and somebody who hears what is ordered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp

from novaflow.config import Config
from novaflow.db.hosts import Hosts
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.errors import Codec
from novaflow.messages import (
    BUILD_INSTANCES,
    COMPUTE,
    GET_CONSOLE_OUTPUT,
    REBOOT_INSTANCE,
    SCHEDULER,
    START_INSTANCE,
    STOP_INSTANCE,
    TERMINATE_INSTANCE,
    BuildInstance,
    ConsoleAsk,
    ConsoleText,
    ServerOrder,
)
from novaflow.models import HostResources
from novaflow.states import Event, Power
from rpc.bus import Bus
from rpc.procedure import Cast
from rpc.tracing import Discard, SpanSink, Tracer
from services.clients import ImageClient
from tests.support.compute_api import PEOPLE, ComputeApi, Reply, compute_api
from tests.support.glance import Glance, glance

IMAGE: Final = "11111111-1111-4111-8111-111111111111"
HOST: Final = "c1"
_DEADLINE: Final = 10.0
_RESOURCES: Final = HostResources(vcpus=64, ram_mb=262144, disk_gb=4096, hypervisor_hostname=HOST)
_ORDERS: Final = (START_INSTANCE, STOP_INSTANCE, REBOOT_INSTANCE, TERMINATE_INSTANCE)


@dataclass
class World:
    """What a test can do and see. `host` beats once, at the start."""

    api: ComputeApi
    glance: Glance
    servers: Servers
    hosts: Hosts
    services: Services
    builds: asyncio.Queue[BuildInstance] = field(default_factory=asyncio.Queue)
    orders: asyncio.Queue[tuple[str, ServerOrder]] = field(default_factory=asyncio.Queue)
    console: list[ConsoleAsk] = field(default_factory=list)

    async def create(
        self, *, who: str = "alice", version: str | None = None, around: dict[str, Any] | None = None, **fields: Any
    ) -> Reply:
        """POST /servers for a small server, with `fields` added to it, or taken from it where they are ..."""
        server = {"name": "web", "imageRef": IMAGE, "flavorRef": "1", **fields}
        given = {key: value for key, value in server.items() if value is not ...}
        return await self.api.ask("POST", "/servers", {"server": given, **(around or {})}, who=who, version=version)

    async def created(self, *, who: str = "alice", **fields: Any) -> str:
        """The id of a server that was accepted, waiting for a host; its build order is taken."""
        reply = await self.create(who=who, **fields)
        assert reply.status == HTTPStatus.ACCEPTED, reply.body
        server_id: str = reply.body["server"]["id"]
        await self.build(server_id)
        return server_id

    async def active(self, *, who: str = "alice", **fields: Any) -> str:
        """The id of a server that runs on HOST."""
        server_id = await self.created(who=who, **fields)
        task_id = await self.place(server_id)
        await self.servers.start_build(server_id, task_id, HOST)
        await self.servers.allocate_network(server_id, task_id, HOST, Config().network)
        for event in (Event.DEVICES_WANTED, Event.SPAWN_STARTED):
            await self.servers.advance(server_id, task_id, event, host=HOST)
        await self.servers.advance(server_id, task_id, Event.SPAWNED, host=HOST, power=Power.RUNNING)
        return server_id

    async def place(self, server_id: str) -> str:
        """Claim HOST for a server; gives its task."""
        server = await self.servers.get(server_id)
        spec = await self.servers.spec(server_id)
        assert server.task_id is not None
        assert await self.servers.claim(server_id, server.task_id, HOST, spec, Config().scheduler)
        return server.task_id

    async def build(self, server_id: str) -> BuildInstance:
        """The order to build that server."""
        async with asyncio.timeout(_DEADLINE):
            while True:
                order = await self.builds.get()
                if order.server_id == server_id:
                    return order

    async def order(self) -> tuple[str, ServerOrder]:
        """The next order HOST got."""
        async with asyncio.timeout(_DEADLINE):
            return await self.orders.get()

    async def act(self, server_id: str, body: object, *, who: str = "alice") -> Reply:
        """POST /servers/{id}/action."""
        return await self.api.ask("POST", f"/servers/{server_id}/action", body, who=who)

    async def show(self, server_id: str, *, who: str = "alice", version: str | None = None) -> dict[str, Any]:
        """GET /servers/{id}."""
        shown: dict[str, Any] = (await self.api.get(f"/servers/{server_id}", who=who, version=version))["server"]
        return shown

    async def console_output(self, ask: ConsoleAsk) -> ConsoleText:
        """What HOST says of every console."""
        self.console.append(ask)
        return ConsoleText(output="login:\x1b[0m\n")


@asynccontextmanager
async def server_world(
    directory: Path, config: Config | None = None, sink: SpanSink | None = None
) -> AsyncIterator[World]:
    """A world with one image and one host that is up."""
    tracer = Tracer("nova-compute", Discard())
    projects = {token: who.project_id for token, who in PEOPLE.items()}
    async with (
        glance(projects) as images,
        aiohttp.ClientSession() as http,
        compute_api(directory, config, images=ImageClient(http, images.url, tracer), sink=sink) as api,
    ):
        images.add(IMAGE)
        world = World(
            api,
            images,
            Servers(api.database, api.clock),
            Hosts(api.database, api.clock),
            Services(api.database, api.clock),
        )
        await world.hosts.started(HOST, _RESOURCES, "nova")
        await world.services.beat("nova-compute", HOST, "nova")
        bus = Bus(api.transport, tracer=tracer, errors=Codec())
        bus.on_cast(BUILD_INSTANCES, world.builds.put)
        bus.on_call(GET_CONSOLE_OUTPUT, world.console_output)
        for procedure in _ORDERS:
            _hear(bus, procedure, world)
        await bus.serve(SCHEDULER)
        await bus.serve(COMPUTE, HOST)
        try:
            yield world
        finally:
            await bus.close()


def _hear(bus: Bus, procedure: Cast[Any], world: World) -> None:
    async def heard(order: ServerOrder) -> None:
        await world.orders.put((procedure.method, order))

    bus.on_cast(procedure, heard)
