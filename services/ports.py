"""Ports and sockets of this machine: free ones, and those behind which somebody listens."""

import asyncio
import errno
import secrets
import socket
from collections.abc import Awaitable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000  # below are those that services are known by
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_EPHEMERAL: Final = 32_768  # where the kernel does not tell
_TRIES: Final = 100


def free_ports(host: str, count: int) -> list[int]:
    """`count` different TCP ports nobody listens on now, from those that the kernel does not give to outgoing connections.

    Between this and their use, connections of the whole machine come and go, and would take one of the kernel's now and then.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        return [_bound(each, host) for each in sockets]


def _bound(held: socket.socket, host: str) -> int:
    for port in _choices():
        try:
            held.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return int(held.getsockname()[1])
    raise OSError(errno.EADDRINUSE, f"no port of {host} is free")


def _choices() -> Iterator[int]:
    """Ports to try; the last one leaves the choice to the kernel."""
    span = _lowest_ephemeral() - _LOWEST
    for _ in range(_TRIES if span > 0 else 0):
        yield _LOWEST + secrets.randbelow(span)
    yield 0


def _lowest_ephemeral() -> int:
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _LOWEST_EPHEMERAL


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
