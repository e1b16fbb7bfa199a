"""Requests byte by byte, as no client library would send them."""

import asyncio
from collections.abc import Iterable
from typing import Final

_PATIENCE: Final = 5.0  # seconds


def on_the_wire(verb: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """A request of HTTP/1.1 that asks to close the connection."""
    lines = [f"{verb} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    return "\r\n".join((*lines, "", "")).encode() + body


async def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer to these bytes; 0 when there is none. Raises TimeoutError when it is waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(_PATIENCE):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    return int(head.split()[1]) if head else 0, body
