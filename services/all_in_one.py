"""Every service by name, and how one process runs some of them until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Final

from novaflow.config import Config
from services.loading import loading
from services.logs import configure
from services.loops import loop_factory
from services.runtime import Runtime, Service, opened, running

# A compute host asks the conductor what is placed on it before it counts as started; nobody else waits for anybody.
AFTER: Final = {"compute": "conductor"}


def services(names: Sequence[str]) -> dict[str, Service]:
    """The services of those names."""
    with loading():
        return {name: service(name) for name in names}


def service(name: str) -> Service:
    """The service of that name. Imported on demand: a compute host need not carry the API."""
    match name:
        case "identity":
            from services.identity.service import identity as found
        case "image":
            from services.image.service import image as found
        case "conductor":
            from services.conductor import conductor as found
        case "scheduler":
            from services.scheduler import scheduler as found
        case "compute":
            from services.compute.service import compute as found
        case "api":
            from services.api.service import api as found
        case _:
            raise ValueError(name)
    return found


async def serve(config: Config, names: Sequence[str], process: str, on_ready: Callable[[Runtime], None]) -> None:
    """Run services in this process until SIGINT or SIGTERM, then drain them."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    found = services(names)
    async with opened(config, process) as runtime, running(runtime, found, AFTER):
        on_ready(runtime)
        await stop.wait()


def run(config: Config, names: Sequence[str], process: str, on_ready: Callable[[Runtime], None]) -> None:
    """`serve` on an event loop of its own."""
    configure(config, process)
    with asyncio.Runner(loop_factory=loop_factory(config, names)) as runner:
        runner.run(serve(config, names, process, on_ready))
