"""The Compute API with an image service, two compute hosts and somebody who hears what is ordered."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Config
from novaflow.db import moving
from novaflow.db.hosts import Hosts
from novaflow.db.moving import RESIZE
from novaflow.db.schema.compute import servers
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.errors import Codec, GuestFailed
from novaflow.hosts import HostResources
from novaflow.messages import (
    BUILD_INSTANCES,
    COMPUTE,
    GET_CONSOLE_OUTPUT,
    GET_DIAGNOSTICS,
    GET_SCREENSHOT,
    GET_VNC_CONSOLE,
    MOVE_SERVER,
    SCHEDULER,
    TRIGGER_CRASH_DUMP,
    BuildInstance,
    ConsoleAddress,
    ConsoleAsk,
    ConsoleText,
    GuestAsk,
    MoveServer,
    Nothing,
    Picture,
)
from novaflow.models import Server
from novaflow.states import Event, Power, State, Task, Vm
from novaflow.virt.driver import Diagnostics
from rpc.bus import Bus
from rpc.tracing import Discard, SpanSink, Tracer
from services.clients import ImageClient
from tests.support.compute_api import PEOPLE, ComputeApi, Reply, compute_api
from tests.support.glance import Glance, glance
from tests.support.hosts import ORDERS

IMAGE: Final = "11111111-1111-4111-8111-111111111111"
HOST: Final = "c1"
OTHER_HOST: Final = "c2"
PNG: Final = b"\x89PNG\r\n\x1a\n..."
DIAGNOSTICS: Final = Diagnostics(
    state="running",
    driver="fake",
    hypervisor="fake",
    cpu_time_ns=17,
    memory_maximum_kib=524288,
    memory_used_kib=1024,
    disks={"vda": {"read_bytes": 1, "read_requests": 2, "write_bytes": 3, "write_requests": 4, "errors_count": 0}},
    nics={"fa:16:3e:00:00:01": {"rx_octets": 5, "rx_packets": 6, "rx_errors": 0, "rx_drop": 0, "tx_octets": 7}},
)
_DEADLINE: Final = 10.0
_RESOURCES: Final = HostResources(vcpus=64, ram_mb=262144, disk_gb=4096, hypervisor_hostname=HOST)


@dataclass
class World:
    """What a test can do and see. Both hosts beat once, at the start."""

    api: ComputeApi
    glance: Glance
    servers: Servers
    hosts: Hosts
    services: Services
    builds: asyncio.Queue[BuildInstance] = field(default_factory=asyncio.Queue)
    moves: asyncio.Queue[MoveServer] = field(default_factory=asyncio.Queue)
    orders: asyncio.Queue[tuple[str, Any]] = field(default_factory=asyncio.Queue)
    heard_at: list[str] = field(default_factory=list)  # the hosts of `orders`, which the queue does not tell
    console: list[ConsoleAsk] = field(default_factory=list)
    dumped: list[str] = field(default_factory=list)
    guests_are_off: bool = False

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
        await self.servers.advance(
            server_id, task_id, Event.SPAWNED, host=HOST, power=Power.RUNNING, takes_volumes=True
        )
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

    async def put(self, server_id: str, state: State, *, host: str | None = HOST) -> Server:
        """Have a server in this state, whatever it went through; with a task of its own where the state is one of transition."""
        task_id = None if state.task is Task.IDLE else str(uuid.uuid4())
        is_offloaded = state.vm is Vm.SHELVED_OFFLOADED
        values = {"vm": state.vm, "task": state.task, "task_id": task_id, "host": None if is_offloaded else host}
        statement = update(servers).where(servers.c.id == server_id).values(**values)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self.api.database.write(work)
        return await self.servers.get(server_id)

    async def ended(self, server_id: str, ago: timedelta) -> None:
        """Have a deleted server be gone so long."""
        statement = update(servers).where(servers.c.id == server_id).values(deleted_at=self.api.clock.now() - ago)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement)

        await self.api.database.write(work)

    async def moved(self, server_id: str, source: str, kind: str = RESIZE, *, status: str = "finished") -> int:
        """Record that a server is on its way, or was moved, from `source` to where it is; gives the migration's number."""
        server = await self.servers.get(server_id)
        migration = moving.accepted(
            server_id=server_id,
            task_id=str(uuid.uuid4()),
            kind=kind,
            source_host=source,
            old=server.flavor,
            new=server.flavor,
            old_vm=Vm.ACTIVE,
            project_id=server.project_id,
            user_id=server.user_id,
            now=self.api.clock.now(),
        )
        begun = msgspec.structs.replace(migration, status=status, dest_host=server.host)

        async def work(connection: AsyncConnection) -> int:
            return await moving.add(connection, begun)

        return await self.api.database.write(work)

    async def goes_down(self, host: str = HOST) -> None:
        """From now on nothing is heard of a host."""
        for service in await self.services.all(self.api.clock.now(), 60.0):
            if service.host == host:
                await self.services.set_forced_down(service.id, True)

    async def move(self) -> MoveServer:
        """The next message of a move that the scheduler got."""
        async with asyncio.timeout(_DEADLINE):
            return await self.moves.get()

    async def order(self) -> tuple[str, Any]:
        """The next order a host got."""
        async with asyncio.timeout(_DEADLINE):
            return await self.orders.get()

    async def act(self, server_id: str, body: object, *, who: str = "alice", version: str | None = None) -> Reply:
        """POST /servers/{id}/action."""
        return await self.api.ask("POST", f"/servers/{server_id}/action", body, who=who, version=version)

    async def show(self, server_id: str, *, who: str = "alice", version: str | None = None) -> dict[str, Any]:
        """GET /servers/{id}."""
        shown: dict[str, Any] = (await self.api.get(f"/servers/{server_id}", who=who, version=version))["server"]
        return shown

    async def console_output(self, ask: ConsoleAsk) -> ConsoleText:
        """What HOST says of every console."""
        self.console.append(ask)
        return ConsoleText(output="login:\x1b[0m\n")

    async def vnc_console(self, ask: GuestAsk) -> ConsoleAddress:
        """Where HOST serves every screen."""
        self._refuse_if_off("console", ask)
        return ConsoleAddress(host="127.0.0.1", port=5901)

    async def screenshot(self, ask: GuestAsk) -> Picture:
        """What HOST shows of every screen."""
        self._refuse_if_off("screenshot", ask)
        return Picture(png=base64.b64encode(PNG).decode())

    async def diagnostics(self, ask: GuestAsk) -> Diagnostics:
        """What HOST counts of every guest."""
        self._refuse_if_off("diagnostics", ask)
        return DIAGNOSTICS

    async def crash_dump(self, ask: GuestAsk) -> Nothing:
        """HOST lets a guest crash."""
        self._refuse_if_off("inject_nmi", ask)
        self.dumped.append(ask.server_id)
        return Nothing()

    def _refuse_if_off(self, operation: str, ask: GuestAsk) -> None:
        if self.guests_are_off:
            raise GuestFailed(operation=operation, server_id=ask.server_id, reason="the guest is off")


@asynccontextmanager
async def server_world(
    directory: Path, config: Config | None = None, sink: SpanSink | None = None
) -> AsyncIterator[World]:
    """A world with one image and two hosts that are up. Servers are put on the first."""
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
        async with AsyncExitStack() as buses:
            scheduler = await _bus(buses, api, tracer)
            scheduler.on_cast(BUILD_INSTANCES, world.builds.put)
            scheduler.on_cast(MOVE_SERVER, world.moves.put)
            await scheduler.serve(SCHEDULER)
            for host in (HOST, OTHER_HOST):
                await world.hosts.started(host, _RESOURCES, "nova")
                await _serve(await _bus(buses, api, tracer), world, host)
            yield world


async def _bus(stack: AsyncExitStack, api: ComputeApi, tracer: Tracer) -> Bus:
    bus = Bus(api.transport, tracer=tracer, errors=Codec())
    stack.push_async_callback(bus.close)
    return bus


async def _serve(bus: Bus, world: World, host: str) -> None:
    """Be a compute host that hears everything and does nothing."""
    for procedure in ORDERS:

        async def heard(order: Any, method: str = procedure.method) -> None:
            world.heard_at.append(host)
            await world.orders.put((method, order))

        bus.on_cast(procedure, heard)
    bus.on_call(GET_CONSOLE_OUTPUT, world.console_output)
    bus.on_call(GET_VNC_CONSOLE, world.vnc_console)
    bus.on_call(GET_SCREENSHOT, world.screenshot)
    bus.on_call(GET_DIAGNOSTICS, world.diagnostics)
    bus.on_call(TRIGGER_CRASH_DUMP, world.crash_dump)
    await bus.serve(COMPUTE, host)
