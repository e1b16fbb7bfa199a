"""What the publisher and the consumer of the delivery tests have in common: the plan, the messages, the journals.

A journal is a file of lines, one per fact, each written by a single system call the moment the fact is one: it holds what a
process knew until it was killed.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import uvloop

from novaflow.errors import Codec
from rpc.bus import Bus, BusSettings
from rpc.connect import open_transport
from rpc.procedure import Call, Cast
from rpc.tracing import Discard, Tracer
from rpc.transport import Transport

READY: Final = "ready"
CALL_TIMEOUT: Final = 3.0  # seconds


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done, by its id."""

    id: str
    padding: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is."""

    id: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one program is to do. It comes by standard input: the URL holds a password.

    `burst` casts at a time by each of `groups`, `pause` seconds between two bursts; `callers` ask one after the other.
    A handler takes up to `work` seconds.
    """

    url: str
    topic: str
    journal: str
    name: str
    seed: int
    delivery: str = "durable"
    exchange: str = "nova"
    queues: str = ""
    publish_timeout: float = 60.0
    prefetch: int = 200
    groups: int = 3
    burst: int = 100
    pause: float = 0.3
    callers: int = 10
    work: float = 0.02
    is_uvloop: bool = False

    @property
    def settings(self) -> BusSettings:
        """The bus of this program."""
        return BusSettings(
            delivery=self.delivery,
            queues=self.queues,
            prefetch=self.prefetch,
            publish_timeout=self.publish_timeout,
            retry_delay=0.05,
            drain_timeout=10.0,
            exchange=self.exchange,
        )

    @property
    def do(self) -> Cast[Work]:
        """The order."""
        return Cast(topic=self.topic, method="do_it", request=Work)

    @property
    def ask(self) -> Call[Work, Done]:
        """The question."""
        return Call(topic=self.topic, method="ask_it", request=Work, reply=Done, timeout=CALL_TIMEOUT)


class Journal:
    """Appends lines; what was written stays written when the process is killed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *words: object) -> None:
        """Note a fact."""
        os.write(self._file, f"{' '.join(map(str, words))}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


@asynccontextmanager
async def transported(plan: Plan) -> AsyncIterator[tuple[Transport, Bus]]:
    """A connection of its own, and a bus on it."""
    transport = await open_transport(plan.url, plan.settings)
    bus = Bus(transport, tracer=Tracer(plan.name, Discard()), errors=Codec(), settings=plan.settings)
    try:
        yield transport, bus
    finally:
        await bus.close()
        await transport.close()


@asynccontextmanager
async def opened(plan: Plan) -> AsyncIterator[Bus]:
    """A bus on a connection of its own."""
    async with transported(plan) as (_, bus):
        yield bus


def run(program: Callable[[Plan, Callable[[], Awaitable[object]]], Awaitable[None]]) -> None:
    """Read the plan from the first line of standard input and run the program until that is closed."""
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)

    async def until_told() -> object:
        print(READY, flush=True)
        return await asyncio.to_thread(sys.stdin.buffer.read)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if plan.is_uvloop else asyncio.new_event_loop) as runner:
        runner.run(_awaited(program(plan, until_told)))


async def _awaited(work: Awaitable[None]) -> None:
    await work
