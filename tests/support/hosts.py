"""Compute hosts and a scheduler that only listen: what is ordered of them, kept for the test to see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from novaflow import messages
from novaflow.hosts import HostResources
from novaflow.messages import BUILD_AND_RUN_INSTANCE, BUILD_INSTANCES, COMPUTE, SCHEDULER, BuildInstance
from novaflow.models import Value
from rpc.bus import Bus
from rpc.procedure import Cast
from tests.support.cloud import Cloud, bus_on

Heard = list[tuple[str, str, Any]]
"""Host, method and order, as they came."""

ORDERS: Final[tuple[Cast[Any], ...]] = tuple(
    found for found in vars(messages).values() if isinstance(found, Cast) and found.topic == COMPUTE
)
"""Every order that a compute host takes."""
SAID: Final = {order.method: order.method.removesuffix("_instance") for order in ORDERS} | {
    BUILD_AND_RUN_INSTANCE.method: "build"
}
RESOURCES = HostResources(vcpus=8, ram_mb=8192, disk_gb=100)


@asynccontextmanager
async def listening(world: Cloud, *names: str, resources: HostResources = RESOURCES) -> AsyncIterator[Heard]:
    """Hosts of these names that are known to the database and take orders, until the block ends."""
    heard: Heard = []
    buses = []
    for name in names:
        await world.hosts.started(name, resources, "nova")
        bus = bus_on(world.broker, world.spans)

        for procedure in ORDERS:

            async def order(ask: Value, host: str = name, method: str = SAID[procedure.method]) -> None:
                heard.append((host, method, ask))

            bus.on_cast(procedure, order)
        await bus.serve(COMPUTE, name)
        buses.append(bus)
    try:
        yield heard
    finally:
        for bus in buses:
            await bus.close()


@asynccontextmanager
async def scheduled(world: Cloud) -> AsyncIterator[tuple[Bus, list[BuildInstance]]]:
    """A scheduler that only listens, until the block ends: its bus, and the builds that are ordered of it."""
    builds: list[BuildInstance] = []

    async def build_instances(ask: BuildInstance) -> None:
        builds.append(ask)

    bus = bus_on(world.broker, world.spans)
    bus.on_cast(BUILD_INSTANCES, build_instances)
    await bus.serve(SCHEDULER)
    yield bus, builds
    await bus.close()
