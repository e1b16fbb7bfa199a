"""A whole cloud with both its front doors, and somebody who asks both of everything whenever a message is about to leave anywhere.

No server changes but for a message, and whoever sends one waits for the watcher. So the watcher sees every state that a server
is ever in, at both doors; the history of the servers says which these were.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import SystemClock
from novaflow.config import Compute, Config, Network
from novaflow.db.ec2_ids import Ec2Ids, shown
from novaflow.db.schema.compute import server_history
from novaflow.errors import Codec
from rpc.bus import Bus
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.settings import BusSettings
from rpc.tracing import Discard, Tracer
from services.api.openstack.app import create_app
from services.api.service import assemble
from services.clients import ImageClient
from services.image.app import create_app as create_image_app
from services.web import serving, traced
from tests.support.actions import LONG
from tests.support.cloud import SERVICES, BeforeOnHost, Cloud, cloud, settings
from tests.support.compute_api import ComputeApi, Reply, known_tokens
from tests.support.ec2_door import Door, ec2_door
from tests.support.image_service import build_api
from tests.support.watching import WHO, State, WatchedTransport, Watcher

CONFIG: Final = settings(
    conductor=LONG,
    network=Network(floating_cidr="198.51.100.0/29"),
    compute=Compute(
        virt="fake",
        host="c",
        hosts=2,
        heartbeat_interval=30.0,
        service_down_time=300.0,
        stop_timeout=5.0,
        shelved_offload_time=3600.0,
    ),
)
_TRACER: Final = Tracer("nova-api", Discard())


@dataclass
class BothDoors:
    """The cloud, its doors and their watcher."""

    cloud: Cloud
    api: ComputeApi
    ec2: Door
    watcher: Watcher
    images: str  # where the image service is
    image: str  # the id of its image

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The body of what the Compute API answers, which is no refusal."""
        reply: Reply = await self.api.ask(method, path, body, who=WHO)
        assert reply.status < HTTPStatus.BAD_REQUEST, reply.body
        return reply.body

    async def name(self, kind: str, prefix: str, resource_id: str) -> str:
        """What EC2 calls a thing of the cloud's, of a kind of novaflow.db.ec2_ids."""
        return shown(prefix, await Ec2Ids(self.api.database).number(kind, resource_id))

    async def act(self, server_id: str, action: str, argument: object = None) -> None:
        """Have the Compute API do something to a server, and wait until it is done."""
        reply = await self.api.ask("POST", f"/servers/{server_id}/action", {action: argument}, who="admin")
        assert reply.status < HTTPStatus.BAD_REQUEST, (action, reply.body)
        await self.rest(server_id)

    async def rest(self, server_id: str) -> None:
        """Wait until nothing is being done to a server, and look once more."""

        async def rests() -> bool:
            return (await self.cloud.server(server_id)).task_id is None

        await self.cloud.until(rests, seconds=60.0)
        await self.watcher.look()

    async def create(self, **more: object) -> str:
        """A server made at the Compute API, that runs or could not be made."""
        server = {"name": "web", "imageRef": self.image, "flavorRef": "1", **more}
        server_id: str = (await self.ask("POST", "/servers", {"server": server}))["server"]["id"]
        await self.rest(server_id)
        return server_id

    async def history(self) -> set[State]:
        """Every state that a server ever was in for others to see, as the Compute API shows it."""
        rows = select(server_history).order_by(server_history.c.server_id, server_history.c.id)

        async def work(connection: AsyncConnection) -> list[Row[Any]]:
            return list(await connection.execute(rows))

        found = await self.cloud.database.read(work)
        last = {
            (row.server_id, row.created_at): row for row in found
        }  # of one transaction, which is all that others see
        return {(row.server_id, row.vm_after.value, row.task_after.wire) for row in last.values()}


@asynccontextmanager
async def both_doors(
    directory: Path, config: Config = CONFIG, before: BeforeOnHost | None = None
) -> AsyncIterator[BothDoors]:
    """The cloud and its doors for as long as the block runs; there is one image, `disk`. The watcher finds nothing wrong."""
    watcher = Watcher()

    def transport(broker: MemoryBroker, settings: BusSettings) -> MemoryTransport:
        return WatchedTransport(broker, settings, watcher.look)

    async with aiohttp.ClientSession() as http, cloud(directory, config, services=()) as world:
        images = create_image_app(
            build_api(world.database, directory / "images", 2**30), trace=traced(_TRACER), authenticate=known_tokens()
        )
        async with serving(images, "127.0.0.1", 0) as port:
            client = ImageClient(http, f"http://127.0.0.1:{port}", _TRACER)
            world.image_service, world.transport_of, world.before = client, transport, before
            for name in SERVICES:
                await world.processes[name].start()
            url = f"http://127.0.0.1:{port}/v2/images"
            image = await _add_image(http, url)
            async with _served(world, client, http) as api, ec2_door(api) as ec2:
                watcher.api, watcher.ec2 = api, ec2
                yield BothDoors(world, api, ec2, watcher, url, image)
                watcher.api = None
    assert not watcher.wrong, "\n".join(dict.fromkeys(watcher.wrong))


@asynccontextmanager
async def _served(world: Cloud, images: ImageClient, http: aiohttp.ClientSession) -> AsyncIterator[ComputeApi]:
    """The Compute API of this cloud."""
    clock, settings = SystemClock(), world.bus_settings
    transport = world.transport_of(world.broker, settings)
    bus = Bus(transport, tracer=_TRACER, errors=Codec(), settings=settings)
    resources = assemble(
        config=world.config, clock=clock, tracer=_TRACER, database=world.database, bus=bus, images=images
    )
    app = create_app(resources, trace=traced(_TRACER), authenticate=known_tokens())
    try:
        async with serving(app, "127.0.0.1", 0) as port:
            yield ComputeApi(f"http://127.0.0.1:{port}", http, world.database, clock, transport, resources)
    finally:
        await bus.close()


async def _add_image(http: aiohttp.ClientSession, url: str) -> str:
    facts = {"name": "disk", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    headers = {"X-Auth-Token": "admin"}
    async with http.post(url, json=facts, headers=headers) as made:
        image_id: str = (await made.json())["id"]
    octets = headers | {"Content-Type": "application/octet-stream"}
    async with http.put(f"{url}/{image_id}/file", data=bytes(4096), headers=octets) as stored:
        assert stored.status == HTTPStatus.NO_CONTENT
    return image_id
