"""What a process of compute hosts does for its guests: it answers on their wires, and asks the metadata service for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from novaflow.virt.instance_files import InstanceFiles
from services.compute.metadata.proxy import MetadataProxy
from services.compute.metadata.wires import GuestWires
from services.guest_identity import shared_secret
from services.host_names import host_names
from services.runtime import Runtime

_GRACE: Final = 2.0  # seconds for what guests have just asked


@asynccontextmanager
async def answering_guests(runtime: Runtime, directory: Path) -> AsyncIterator[None]:
    """Answer the guests of this process's hosts, whose files are below `directory`, while the block runs."""
    config = runtime.config
    secret = shared_secret(runtime.state_dir)
    proxy = MetadataProxy(runtime.http, config.metadata_url, secret, config.api.metadata_hop_limit)
    server = web.Server(proxy.answer, access_log=None)
    async with AsyncExitStack() as stack:
        for name in host_names(config.compute):
            wires = GuestWires(InstanceFiles(directory / name).homes, server)
            stack.push_async_callback(_ended, runtime.spawn(wires.run(), f"network of {name}'s guests"))
        stack.push_async_callback(server.shutdown, _GRACE)
        yield


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
