"""Ports and sockets of this machine: free ones, and those behind which somebody listens."""

import asyncio
import socket
from collections.abc import Awaitable
from contextlib import ExitStack, suppress


def free_ports(host: str, count: int) -> list[int]:
    """`count` different TCP ports nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [int(each.getsockname()[1]) for each in sockets]


async def accepts(connecting: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    """Whether a connection comes about. It is closed again."""
    try:
        _, writer = await connecting
    except OSError:
        return False
    await close(writer)
    return True


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, in whatever state it is."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
