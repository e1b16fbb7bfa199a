"""Thousands of compute hosts in one process: how long their queues take to be there, and to hear a message each."""

import asyncio
import resource
import time
from typing import Any, Final

import msgspec

from novaflow.lab.queue.contestant import NoErrors
from rpc.bus import Bus, BusSettings
from rpc.connect import open_transport
from rpc.procedure import Cast
from rpc.tracing import Discard, Tracer

_TOPIC: Final = "bench-hosts"
_IN_FLIGHT: Final = 200
_PATIENCE: Final = 600.0  # seconds for the broker, which may be slow


class Ping(msgspec.Struct, frozen=True):
    """To one host."""

    host: int


async def declare(url: str, hosts: int, queues: str) -> dict[str, Any]:
    """Serve as many hosts over one connection, send each a cast, and say what that took.

    Raises rpc's BusError when the broker does not do it in time.
    """
    settings = BusSettings(queues=queues, publish_timeout=_PATIENCE)
    transport = await open_transport(url, settings)
    bus = Bus(transport, tracer=Tracer("bench", Discard()), errors=NoErrors(), settings=settings)
    heard: set[int] = set()
    everybody = asyncio.Event()

    async def hear(ping: Ping) -> None:
        heard.add(ping.host)
        if len(heard) == hosts:
            everybody.set()

    cast = Cast(topic=_TOPIC, method="ping", request=Ping)
    bus.on_cast(cast, hear)
    slots = asyncio.Semaphore(_IN_FLIGHT)

    async def ping(host: int) -> None:
        async with slots:
            await bus.cast(cast.at(f"h{host}"), Ping(host))

    try:
        before = _memory()
        began = time.perf_counter()
        await bus.serve_hosts(_TOPIC, [f"h{host}" for host in range(hosts)])
        declared = time.perf_counter() - began
        memory = _memory() - before
        began = time.perf_counter()
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*(ping(host) for host in range(hosts)))
            await everybody.wait()
        reached = time.perf_counter() - began
    finally:
        await bus.close()
        await transport.close()
    return {
        "hosts": hosts,
        "queues": settings.queue_type,
        "declared_s": round(declared, 2),
        "one_message_each_s": round(reached, 2),
        "client_mib": round(memory / 1024, 1),
    }


def _memory() -> int:
    """KiB at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
