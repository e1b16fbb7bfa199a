"""novaflow's own bus as a contestant: `python -m novaflow.lab.queue.contestant server|client ...`.

Calls and casts are acknowledged after their handler, casts are confirmed. With `--in-process` before the role the client
serves itself over the memory transport, which measures the bus without a broker: values still go through the codec.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import uvloop

from novaflow.lab.queue.boot import Boot
from novaflow.lab.queue.contestants.protocol import (
    Board,
    ClientOrder,
    Order,
    Payload,
    ServerOrder,
    parse,
    send_all,
    until_terminated,
)
from rpc.bus import Bus, BusSettings
from rpc.connect import open_transport
from rpc.procedure import Call, Cast, Fanout
from rpc.tracing import Discard, Tracer

IN_PROCESS: Final = "--in-process"
_CALL_TIMEOUT: Final = 30.0  # seconds


class Ask(msgspec.Struct, frozen=True):
    """Request and reply: a payload, typed as requests of services are."""

    body: Boot


class NoErrors:
    """No error is expected here."""

    def encode(self, error: Exception) -> None:
        """Nothing is an expected error."""

    def decode(self, code: str, fields: dict[str, object]) -> None:
        """No code is known."""


def main() -> None:
    """Be a server or a client."""
    arguments = sys.argv[1:]
    in_process = arguments[:1] == [IN_PROCESS]
    order = parse(arguments[in_process:])
    uvloop.run(_serve(order, in_process) if isinstance(order, ServerOrder) else _send(order, in_process))


async def _serve(order: ServerOrder, in_process: bool) -> None:  # noqa: FBT001
    async with _bus(order, order.prefetch, in_process) as bus:
        if not in_process:
            await _answer(bus, order.queue, Board(order.board))
        await until_terminated()


async def _send(order: ClientOrder, in_process: bool) -> None:  # noqa: FBT001
    async with _bus(order, max(64, order.in_flight), in_process) as bus:
        if in_process:
            await _answer(bus, order.queue, Board(order.boards[0]))
        await send_all(order, _sender(bus, order))


@asynccontextmanager
async def _bus(order: Order, prefetch: int, in_process: bool) -> AsyncIterator[Bus]:  # noqa: FBT001
    # Whatever the broker keeps of the queues, the delivery is the acknowledged and confirmed one.
    settings = BusSettings(delivery="durable", queues=order.durability, prefetch=prefetch)
    transport = await open_transport("memory://" if in_process else order.url, settings)
    bus = Bus(transport, tracer=Tracer("bench", Discard()), errors=NoErrors(), settings=settings)
    try:
        yield bus
    finally:
        await bus.close()
        await transport.close()


async def _answer(bus: Bus, queue: str, board: Board) -> None:
    async def echo(ask: Ask) -> Ask:
        board.count(ask.body.number)
        return ask

    async def obey(ask: Ask) -> None:
        board.count(ask.body.number)

    bus.on_call(_call(queue), echo)
    bus.on_cast(_cast(queue), obey)
    bus.on_fanout(_fanout(queue), obey)
    await bus.serve(queue)


def _sender(bus: Bus, order: ClientOrder) -> Callable[[Payload], Awaitable[Payload | None]]:
    call, cast, fanout = _call(order.queue), _cast(order.queue), _fanout(order.queue)

    made: dict[int, Boot] = {}

    def ask(payload: Payload) -> Ask:
        size = len(payload["pad"])
        if size not in made:
            made[size] = msgspec.convert(payload, Boot)
        return Ask(msgspec.structs.replace(made[size], number=payload["number"]))

    async def send_call(payload: Payload) -> Payload | None:
        question = ask(payload)
        return payload if await bus.call(call, question) == question else None

    async def send_cast(payload: Payload) -> None:
        await bus.cast(cast, ask(payload))

    async def send_fanout(payload: Payload) -> None:
        await bus.fanout(fanout, ask(payload))

    return {"call": send_call, "cast": send_cast, "fanout": send_fanout}[order.op]


def _call(queue: str) -> Call[Ask, Ask]:
    return Call(topic=queue, method="rebuild_instances", request=Ask, reply=Ask, timeout=_CALL_TIMEOUT)


def _cast(queue: str) -> Cast[Ask]:
    return Cast(topic=queue, method="build_instances", request=Ask)


def _fanout(queue: str) -> Fanout[Ask]:
    return Fanout(topic=queue, method="update_instance_info", request=Ask)


if __name__ == "__main__":
    main()
