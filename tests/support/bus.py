"""One broker, in memory or a real RabbitMQ, and any number of processes connected to it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from novaflow.errors import Codec
from rpc.address import Address
from rpc.amqp import AmqpTransport
from rpc.bus import Bus, BusSettings
from rpc.hooks import Hook
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.procedure import Call, Cast, Fanout
from rpc.tracing import Span, Tracer
from rpc.transport import Assurance, Delivery, Message, Transport, dead_letters, destination
from tests.support.rabbitmq import RabbitMQ

PATIENCE: Final = 20.0  # seconds; generous, since the machine may be busy


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request."""

    number: int
    text: str = ""
    server_id: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A reply."""

    number: int
    text: str = ""


class Spans:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.seen: list[Span] = []

    def record(self, span: Span) -> None:
        """Keep one span."""
        self.seen.append(span)


class Place(Protocol):
    """A broker as a test knows it."""

    async def connect(self, settings: BusSettings) -> Transport:
        """A new connection, as of a new process."""
        ...

    async def sever(self) -> None:
        """End every connection at once."""
        ...


class MemoryPlace:
    """The broker in this process."""

    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self._transports: list[MemoryTransport] = []

    async def connect(self, settings: BusSettings) -> Transport:
        """A new connection."""
        transport = MemoryTransport(self._broker, settings)
        self._transports.append(transport)
        return transport

    async def sever(self) -> None:
        """End every connection at once."""
        for transport in self._transports:
            transport.sever()


class RabbitPlace:
    """The session's RabbitMQ; `plain` has messages take aiormq's channels."""

    def __init__(self, node: RabbitMQ, *, plain: bool = False) -> None:
        self._node = node
        self._is_plain = plain

    async def connect(self, settings: BusSettings) -> Transport:
        """A new connection."""
        return await AmqpTransport.open(Address.parse(self._node.url), settings, plain=self._is_plain)

    async def sever(self) -> None:
        """End every connection at once."""
        await self._node.ctl("close_all_connections", "a test")


PLACES: Final = ("memory", "rabbitmq", "rabbitmq, plain")


def place(name: str, fixture: Callable[[str], RabbitMQ]) -> Place:
    """One of PLACES."""
    if name == "memory":
        return MemoryPlace()
    return RabbitPlace(fixture("rabbitmq"), plain=name.endswith("plain"))


class World:
    """Procedures on a topic of this test's own, and the buses of any number of processes."""

    def __init__(self, place: Place, settings: BusSettings) -> None:
        self.topic = f"t{secrets.token_hex(4)}"
        self.place = place
        # Both modes of delivery on one node: each with a control exchange of its own.
        self.settings = replace(settings, exchange=f"nova-{settings.delivery}")
        self.spans = Spans()
        self.add = Call(topic=self.topic, method="add_one", request=Ask, reply=Answer, timeout=PATIENCE)
        self.do = Cast(topic=self.topic, method="do_it", request=Ask)
        self.hear = Fanout(topic=self.topic, method="hear_this", request=Ask)
        self._open = AsyncExitStack()

    async def connect(self, settings: BusSettings | None = None) -> Transport:
        """A new connection; closed with the world."""
        transport = await self.place.connect(settings or self.settings)
        self._open.push_async_callback(transport.close)
        return transport

    async def bus(
        self,
        transport: Transport | None = None,
        *,
        settings: BusSettings | None = None,
        hooks: Sequence[Hook] = (),
        service: str = "test",
    ) -> Bus:
        """A bus, by default on a connection of its own; closed with the world."""
        settings = settings or self.settings
        bus = Bus(
            transport or await self.connect(settings),
            tracer=Tracer(service, self.spans),
            errors=Codec(),
            settings=settings,
            hooks=hooks,
        )
        self._open.push_async_callback(bus.close)
        return bus

    async def serve(
        self,
        *,
        add: Callable[[Ask], Awaitable[Answer]] | None = None,
        do: Callable[[Ask], Awaitable[None]] | None = None,
        hear: Callable[[Ask], Awaitable[None]] | None = None,
        host: str | None = None,
        settings: BusSettings | None = None,
        hooks: Sequence[Hook] = (),
    ) -> Bus:
        """A server of the topic with these handlers."""
        bus = await self.bus(settings=settings, hooks=hooks, service="server")
        if add is not None:
            bus.on_call(self.add, add)
        if do is not None:
            bus.on_cast(self.do, do)
        if hear is not None:
            bus.on_fanout(self.hear, hear)
        await bus.serve(self.topic, host)
        return bus

    async def put(self, body: bytes, **headers: str | int) -> None:
        """Publish raw bytes to the topic's shared queue."""
        transport = await self.connect()
        await transport.publish(
            destination(self.topic), Message(content=body, headers=headers, assurance=Assurance.CONFIRMED)
        )

    async def next_dead_letter(self) -> Delivery:
        """Wait for a message in the dead-letter queue, and take it."""
        transport = await self.connect()
        arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        await transport.consume([dead_letters(self.topic)], arrived.put_nowait)
        delivery = await asyncio.wait_for(arrived.get(), PATIENCE)
        delivery.ack()
        return delivery

    async def close(self) -> None:
        """End everything, last opened first."""
        await self._open.aclose()


class Log:
    """Collects numbers and lets a test wait for them."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._changed = asyncio.Condition()

    async def __call__(self, ask: Ask) -> None:
        """A handler that notes the request."""
        await self.note(ask.number)

    async def note(self, number: int) -> None:
        """Write one down."""
        async with self._changed:
            self.numbers.append(number)
            self._changed.notify_all()

    async def until(self, enough: Callable[[list[int]], bool]) -> list[int]:
        """Wait until the numbers so far are enough."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: enough(self.numbers))
        return self.numbers


class Work:
    """A handler that notes what it begins, ends when it may, and notes that too."""

    def __init__(self) -> None:
        self.started = Log()
        self.release = asyncio.Event()
        self.finished = Log()

    async def __call__(self, ask: Ask) -> None:
        """Do it."""
        await self.started.note(ask.number)
        await self.release.wait()
        await self.finished.note(ask.number)


class Crowd:
    """A handler that takes a moment, and how many of it ran at a time at the most."""

    def __init__(self) -> None:
        self.most = 0
        self.done = Log()
        self._running = 0

    async def __call__(self, ask: Ask) -> None:
        """Be one of them for a while."""
        self._running += 1
        self.most = max(self.most, self._running)
        await asyncio.sleep(0.005)
        self._running -= 1
        await self.done.note(ask.number)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that nothing announces."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)


async def add_one(ask: Ask) -> Answer:
    """The plainest of handlers."""
    return Answer(number=ask.number + 1, text=ask.text)
