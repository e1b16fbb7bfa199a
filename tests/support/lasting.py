"""Private servers for fixtures that outlive the event loop of a test."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from services.private.startable import Startable

S = TypeVar("S", bound=Startable)


@contextmanager
def lasting(server: S) -> Iterator[S]:
    """The server, started in a loop of its own and stopped in another; tests use it in theirs meanwhile."""
    asyncio.run(server.start())
    try:
        yield server
    finally:
        asyncio.run(server.stop())
