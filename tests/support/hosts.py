"""Compute hosts that only listen: what a scheduler or a conductor orders of them, kept for the test to see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from novaflow.messages import (
    BUILD_AND_RUN_INSTANCE,
    COMPUTE,
    REBOOT_INSTANCE,
    START_INSTANCE,
    STOP_INSTANCE,
    TERMINATE_INSTANCE,
    BuildInstance,
    ServerOrder,
)
from novaflow.models import HostResources
from tests.support.cloud import Cloud, bus_on

Heard = list[tuple[str, str, BuildInstance | ServerOrder]]
"""Host, method and order, as they came."""

RESOURCES = HostResources(vcpus=8, ram_mb=8192, disk_gb=100)


@asynccontextmanager
async def listening(world: Cloud, *names: str, resources: HostResources = RESOURCES) -> AsyncIterator[Heard]:
    """Hosts of these names that are known to the database and take orders, until the block ends."""
    heard: Heard = []
    buses = []
    for name in names:
        await world.hosts.started(name, resources, "nova")
        bus = bus_on(world.broker, world.spans)

        async def build(ask: BuildInstance, host: str = name) -> None:
            heard.append((host, "build", ask))

        bus.on_cast(BUILD_AND_RUN_INSTANCE, build)
        for procedure in (TERMINATE_INSTANCE, START_INSTANCE, STOP_INSTANCE):

            async def order(ask: ServerOrder, host: str = name, method: str = procedure.method) -> None:
                heard.append((host, method.removesuffix("_instance"), ask))

            bus.on_cast(procedure, order)

        async def reboot(ask: ServerOrder, host: str = name) -> None:
            heard.append((host, "reboot", ask))

        bus.on_cast(REBOOT_INSTANCE, reboot)
        await bus.serve(COMPUTE, name)
        buses.append(bus)
    try:
        yield heard
    finally:
        for bus in buses:
            await bus.close()
