"""RabbitMQ hands on whatever headers a client of any kind sends: none of them may hold a queue up."""

import struct
from collections.abc import AsyncIterator

import pytest
from msgspec import Raw

from rpc import frames
from rpc.bus import BusSettings
from rpc.envelope import Request
from rpc.transport import Assurance, Message, destination
from tests.support.bus import Ask, Log, RabbitPlace, World
from tests.support.rabbitmq import RabbitMQ


@pytest.fixture
async def world(rabbitmq: RabbitMQ) -> AsyncIterator[World]:
    world = World(RabbitPlace(rabbitmq), BusSettings(drain_timeout=5.0))
    yield world
    await world.close()


def nested(depth: int) -> bytes:
    value = b""
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\x01k" + value


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"\x01kT" + b"\x7f" * 8, id="the end of time"),
        pytest.param(nested(5_000), id="arrays in arrays"),
        pytest.param(b"\x02\xff\xfeS\x00\x00\x00\x02\xff\xfe", id="no UTF-8"),
        pytest.param(b"\x02\xff\xfet\x01", id="no UTF-8 in a name beside another type"),
    ],
)
async def test_headers_that_cannot_be_read_cost_the_headers_alone(
    world: World, table: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await world.connect()
    server = await world.bus(transport)
    log = Log()
    server.on_cast(world.do, log)
    await server.serve(world.topic)
    body = Request(method="do_it", args=Raw(b'{"number": 1}')).pack(10_000)
    sender = await world.connect()

    monkeypatch.setattr(frames, "_table", lambda _: struct.pack(">I", len(table)) + table)
    await sender.publish(
        destination(world.topic), Message(content=body, headers={"any": 1}, assurance=Assurance.CONFIRMED)
    )
    monkeypatch.undo()
    await log.until(bool)
    await (await world.bus()).cast(world.do, Ask(number=2))

    assert await log.until(lambda numbers: 2 in numbers) == [1, 2]
    assert transport.reconnects == 0
