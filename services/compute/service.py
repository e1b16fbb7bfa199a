"""nova-compute as a service: one process serves one host, or several for experiments, each with a hypervisor of its own.

A host takes orders before it registers, so that whoever learns of it can reach it. When it leaves, orders that run are
finished within the deadline of the bus, those that wait stay in the host's queue, and the guests go on running.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from novaflow.identity.credentials import read
from novaflow.messages import COMPUTE
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Driver, GuestState
from rpc.bus import Bus
from services.auth import IdentityClient, ServiceToken
from services.clients import ImageClient
from services.compute.answering import answer
from services.compute.audit import Auditor
from services.compute.host import ComputeHost
from services.compute.image_room import ImageRoom
from services.compute.images import BootImages, ImageSource
from services.compute.metadata.serving import answering_guests
from services.compute.moving.serving import answer_moves
from services.compute.pulse import Pulse
from services.compute.records import Records
from services.compute.transfer import Offers
from services.compute.uploads import ImageStore, ImageUploads
from services.compute.volume_audit import VolumeAudit
from services.host_names import host_names
from services.runtime import Runtime

SERVICE: Final = "nova-compute"
DIRECTORY: Final = "compute"  # below the state directory: what the hosts keep
REGISTERED_WITHIN: Final = 10.0  # seconds a start waits for the conductor before it goes on without
log = logging.getLogger(__name__)


class ImageService(ImageSource, ImageStore, Protocol):
    """All that the hosts want of the image service."""


@asynccontextmanager
async def compute(runtime: Runtime) -> AsyncIterator[None]:
    """Serve this process's compute hosts until the block ends."""
    tracer = runtime.tracer(SERVICE)
    identity = IdentityClient(runtime.http, runtime.config.identity_url, tracer)
    project = runtime.config.identity.service_project
    token = ServiceToken(identity, lambda: read(runtime.state_dir, project), runtime.clock)
    source = ImageClient(runtime.http, runtime.config.image_url, tracer)
    async with compute_with(runtime, source, token.get):
        yield


@asynccontextmanager
async def compute_with(
    runtime: Runtime,
    source: ImageService,
    service_token: Callable[[], Awaitable[str]],
    driver_of: Callable[[str], Driver] | None = None,
) -> AsyncIterator[list[ComputeHost]]:
    """Serve this process's compute hosts, all of which share one image cache filled from `source`, the image service.

    `driver_of` gives the hypervisor of a host by its name; by default the one that the configuration says.
    """
    directory = runtime.state_dir / DIRECTORY
    uploads = ImageUploads(source, runtime.clock, service_token)
    images = BootImages(source, directory / "images", runtime.clock, service_token)
    opener = partial(open_driver, runtime.config.compute, directory=directory, on_notice=log.warning)
    driver_of = driver_of or (lambda name: opener(host=name))
    offers = Offers(runtime.config.compute, runtime.clock)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(offers.served())
        await stack.enter_async_context(answering_guests(runtime, directory))
        served = [
            await stack.enter_async_context(_serving(runtime, driver_of(name), name, images, uploads, offers))
            for name in host_names(runtime.config.compute)
        ]
        await _registered(served)
        room = ImageRoom(images, [one.host for one in served], runtime.config.compute, runtime.clock)
        stack.callback(runtime.spawn(room.run(), "image cache").cancel)
        try:
            yield [one.host for one in served]
        finally:
            async with asyncio.TaskGroup() as closing:
                for one in served:
                    closing.create_task(one.bus.close())


@dataclass(frozen=True, kw_only=True)
class _Served:
    """A host that takes orders; `is_registered` is set once the conductor knows it."""

    host: ComputeHost
    bus: Bus
    is_registered: asyncio.Event


@asynccontextmanager
async def _serving(
    runtime: Runtime, driver: Driver, name: str, images: BootImages, uploads: ImageUploads, offers: Offers
) -> AsyncIterator[_Served]:
    """One host, from opening its hypervisor to draining its orders."""
    config, clock, tracer = runtime.config, runtime.clock, runtime.tracer(SERVICE)
    async with AsyncExitStack() as stack:
        await driver.open()
        stack.push_async_callback(driver.close)
        bus = await runtime.bus(SERVICE)
        records = Records(bus, name, clock)
        directory = runtime.state_dir / DIRECTORY / name
        host = ComputeHost(
            name=name,
            directory=directory,
            driver=driver,
            records=records,
            config=config,
            clock=clock,
            tracer=tracer,
        )
        await answer(bus, host, images, uploads)
        await answer_moves(bus, host, images, offers, runtime.http)
        guests = await driver.guests()
        pulse = Pulse(host, await driver.resources())
        served = _Served(host=host, bus=bus, is_registered=asyncio.Event())
        await bus.serve(COMPUTE, name)
        stack.push_async_callback(bus.close)
        living = runtime.spawn(_live(served, pulse, guests), f"{name} lives")
        stack.callback(living.cancel)
        yield served


async def _live(served: _Served, pulse: Pulse, guests: list[GuestState]) -> None:
    """What a host does on its own account, as long as it serves. `guests` were there before the first order."""
    auditor = Auditor(served.host)
    async with asyncio.TaskGroup() as group:
        group.create_task(auditor.watch())
        servers = await pulse.register(guests)
        served.is_registered.set()
        group.create_task(pulse.beat())
        group.create_task(auditor.settle())
        group.create_task(auditor.run(guests, servers))
        group.create_task(VolumeAudit(served.host).run())


async def _registered(served: list[_Served]) -> None:
    try:
        async with asyncio.timeout(REGISTERED_WITHIN):
            for one in served:
                await one.is_registered.wait()
    except TimeoutError:
        log.warning("no conductor answers yet; the compute hosts register when one does")
