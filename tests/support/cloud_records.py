"""A cloud that is only its records: servers taken through their lives by the repositories alone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import select

from novaflow.config import Network, Scheduler
from novaflow.db.database import Database
from novaflow.db.flavors import Flavors
from novaflow.db.hosts import Hosts
from novaflow.db.keypairs import KeyPairs
from novaflow.db.quotas import Quotas
from novaflow.db.schema.compute import server_history
from novaflow.db.servers import NewServer, Servers, Transition
from novaflow.db.services import Services
from novaflow.hosts import Host, HostResources
from novaflow.models import Context, Flavor, RequestSpec, Server
from novaflow.quotas import QuotaLimits
from novaflow.states import Event, Power
from tests.support.clocks import ManualClock

NOW: Final = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
TINY: Final = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)
NETWORK: Final = Network()
RATIOS: Final = Scheduler(cpu_allocation_ratio=1.0, ram_allocation_ratio=1.0, disk_allocation_ratio=1.0)
RESOURCES: Final = HostResources(vcpus=8, ram_mb=8192, disk_gb=100, hypervisor_hostname="c1.example")
PLENTY: Final = QuotaLimits(instances=-1, cores=-1, ram=-1)
ALICE: Final = Context(request_id="req-1", user_id="alice", project_id="p1", roles=("member",))
BUILDING: Final = (Event.BUILD_STARTED, Event.NETWORK_WANTED, Event.DEVICES_WANTED, Event.SPAWN_STARTED)

__all__ = ["records"]


def request(number: int) -> Context:
    """Another request of Alice's."""
    return msgspec.structs.replace(ALICE, request_id=f"req-{number}")


def draft(name: str = "web", **more: Any) -> NewServer:
    """A small server."""
    fields: dict[str, Any] = {"name": name, "hostname": name, "flavor": TINY, "image_id": "img"}
    return NewServer(**fields | more)


def spec_of(server: Server) -> RequestSpec:
    """What the scheduler would be asked for it."""
    return RequestSpec(project_id=server.project_id, user_id=server.user_id, flavor=server.flavor)


def task_of(server: Server) -> str:
    """The task that owns the server; there must be one."""
    assert server.task_id is not None
    return server.task_id


@dataclass
class Records:
    """The repositories, the clock they use, and what they told of transitions."""

    database: Database
    clock: ManualClock
    told: list[Transition] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.servers = Servers(self.database, self.clock, self.told.append)
        self.hosts = Hosts(self.database, self.clock)
        self.services = Services(self.database, self.clock)
        self.flavors = Flavors(self.database)
        self.keypairs = KeyPairs(self.database)
        self.quotas = Quotas(self.database)

    async def host(self, name: str = "c1", resources: HostResources = RESOURCES) -> str:
        """A compute host that has just started."""
        await self.hosts.started(name, resources, "nova")
        return name

    async def made(self, limits: QuotaLimits = PLENTY, context: Context = ALICE, **more: Any) -> Server:
        """A server that waits for a host."""
        (server,) = await self.servers.create(context, [draft(**more)], limits)
        return server

    async def placed(self, host: str = "c1", **more: Any) -> Server:
        """A server that was just put on a host."""
        server = await self.made(**more)
        assert await self.servers.claim(server.id, task_of(server), host, spec_of(server), RATIOS)
        return await self.servers.get(server.id)

    async def spawning(self, host: str = "c1", **more: Any) -> Server:
        """A server that its host is about to start."""
        server = await self.placed(host, **more)
        for event in BUILDING:
            await self.servers.advance(server.id, task_of(server), event, host=host)
        return await self.servers.get(server.id)

    async def active(self, host: str = "c1", **more: Any) -> Server:
        """A server that runs."""
        server = await self.spawning(host, **more)
        await self.servers.advance(server.id, task_of(server), Event.SPAWNED, host=host, power=Power.RUNNING)
        return await self.servers.get(server.id)

    async def used(self, host: str = "c1") -> tuple[int, int, int, int]:
        """What is claimed of a host: servers, vcpus, ram_mb, disk_gb."""
        found: Host = await self.hosts.get(host)
        return found.servers, found.vcpus_used, found.ram_mb_used, found.disk_gb_used

    async def history(self, server_id: str) -> list[tuple[Event, str]]:
        """What is written about a server: each event and the state it led to."""
        columns = (server_history.c.event, server_history.c.vm_after, server_history.c.task_after)
        query = select(*columns).where(server_history.c.server_id == server_id).order_by(server_history.c.id)

        async def work(connection: Any) -> Any:
            return (await connection.execute(query)).all()

        return [(event, f"{vm}/{task or 'none'}") for event, vm, task in await self.database.read(work)]


@pytest.fixture
async def records(database: Database) -> Records:
    """An empty cloud at noon."""
    return Records(database, ManualClock(NOW))
