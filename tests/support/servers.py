"""Hosts and servers in the database, without the services that would put them there."""

from typing import Final

import msgspec

from novaflow.config import Scheduler
from novaflow.db.hosts import Hosts
from novaflow.db.servers import NewServer, Servers
from novaflow.hosts import HostResources
from novaflow.models import Flavor, RequestSpec, Server
from novaflow.quotas import QuotaLimits
from novaflow.states import Event, Power
from tests.support.compute_api import PEOPLE, ComputeApi

_ROOMY: Final = Scheduler(cpu_allocation_ratio=100, ram_allocation_ratio=100, disk_allocation_ratio=100)


async def a_host(api: ComputeApi, name: str, *, vcpus: int = 8, ram_mb: int = 8192, disk_gb: int = 100) -> None:
    """A compute host that has just started."""
    resources = HostResources(
        vcpus=vcpus,
        ram_mb=ram_mb,
        disk_gb=disk_gb,
        hypervisor_version=7002000,
        hypervisor_hostname=name,
        cpu_info={"arch": "x86_64", "model": "qemu64"},
    )
    await Hosts(api.database, api.clock).started(name, resources, "nova")


async def a_server(
    api: ComputeApi,
    *,
    host: str | None = None,
    who: str = "alice",
    vcpus: int = 1,
    ram_mb: int = 64,
    disk_gb: int = 1,
    request_id: str = "req-00000000-0000-0000-0000-000000000000",
) -> Server:
    """A server that was just accepted; on a `host`, it is up already."""
    context = msgspec.structs.replace(PEOPLE[who], request_id=request_id)
    flavor = Flavor(id="f", name="custom", vcpus=vcpus, ram_mb=ram_mb, disk_gb=disk_gb)
    servers = Servers(api.database, api.clock)
    draft = NewServer(name="web", hostname="web", flavor=flavor, image_id="i")
    (server,) = await servers.create(context, [draft], QuotaLimits())
    if host is None:
        return server
    assert server.task_id is not None
    spec = RequestSpec(project_id=context.project_id, user_id=context.user_id, flavor=flavor)
    assert await servers.claim(server.id, server.task_id, host, spec, _ROOMY)
    for event in (Event.BUILD_STARTED, Event.NETWORK_WANTED, Event.DEVICES_WANTED, Event.SPAWN_STARTED):
        await servers.advance(server.id, server.task_id, event, host=host)
    await servers.advance(server.id, server.task_id, Event.SPAWNED, host=host, power=Power.RUNNING)
    return await servers.get(server.id)
