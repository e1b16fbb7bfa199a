import asyncio
import socket as sockets
from typing import Any

import pytest
from aiormq.exceptions import AMQPConnectionError
from pamqp import commands as spec
from yarl import URL

from rpc import frames
from rpc.amqp_fast import FastChannel
from rpc.amqp_path import SessionLost
from rpc.amqp_wire import Wire, WireFactory
from rpc.transport import Assurance, Message
from tests.support.amqp_broker import channel, connected, delivery, parsed, sent

BLOCKED = sent(0, spec.Connection.Blocked("low on memory"))
UNBLOCKED = sent(0, spec.Connection.Unblocked())


def never(*_: object) -> None:
    raise AssertionError("nothing is wrong with these frames")


def fast(wire: Wire, number: int = 1, *, deliveries: int = 0) -> FastChannel:
    """A channel of the hot path with so many deliveries that are to be settled."""
    made = FastChannel(wire, channel(number), fail=never, unrouted=never, settles=True)
    made.receivers[b"c"] = lambda _properties, _body, _tag, _again: None
    for tag in range(1, deliveries + 1):
        wire.data_received(b"".join(delivery(number, tag, b"x")))
    return made


async def streamed(wire: Wire) -> bytes:
    """All that reached aiormq's stream."""
    wire.eof_received()
    return await wire.stream.read()


def is_held(wire: Wire) -> bool:
    return wire.is_held


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_all_of_one_turn_of_the_loop_goes_out_in_one_write() -> None:
    wire, socket = connected()
    one, two = fast(wire, 1, deliveries=4), fast(wire, 2, deliveries=4)

    for tag in range(1, 4):
        wire.send(frames.HEARTBEAT)
        one.ack(tag)
        two.nack(tag)
    two.ack(4)
    assert socket.writes == []
    await turns()

    assert len(socket.writes) == 1
    assert [number for number, _ in socket.taken()] == [0, 2, 0, 2, 0, 2, 1, 2]
    one.ack(4)
    await turns()
    assert len(socket.writes) == 1


async def test_acknowledgements_alone_cost_one_turn_of_the_loop() -> None:
    wire, socket = connected()
    acknowledging = fast(wire, deliveries=2)
    ordered = 0

    class Loop:
        def call_soon(self, work: Any) -> None:
            nonlocal ordered
            ordered += 1

    wire.loop = Loop()  # type: ignore[misc, assignment]  # counts what is ordered of the loop
    acknowledging.ack(2)
    acknowledging.ack(1)
    wire.flush()

    assert len(socket.writes) == 1
    assert ordered == 1


async def test_what_waits_for_the_end_of_the_turn_can_be_sent_at_once() -> None:
    wire, socket = connected()
    fast(wire, deliveries=1).ack(1)

    wire.flush()
    assert len(socket.writes) == 1
    await turns()

    assert len(socket.writes) == 1


async def test_publishers_wait_while_the_broker_takes_nothing() -> None:
    wire, _ = connected()
    wire.data_received(BLOCKED)
    waiting = [asyncio.create_task(wire.room()) for _ in range(3)]
    await turns()

    assert is_held(wire)
    assert not any(task.done() for task in waiting)
    waiting[0].cancel()
    wire.data_received(UNBLOCKED)
    await asyncio.wait(waiting)

    assert not is_held(wire)
    assert [task.cancelled() for task in waiting] == [True, False, False]


async def test_publishers_wait_while_the_socket_takes_nothing() -> None:
    wire, socket = connected()
    wire.pause_writing()
    waiting = asyncio.create_task(wire.room())
    await turns()
    assert is_held(wire)
    assert not waiting.done()

    wire.data_received(BLOCKED)
    wire.resume_writing()
    await turns()
    assert not waiting.done()
    wire.data_received(UNBLOCKED)
    await waiting

    assert socket.limit > 0
    await wire.room()


async def test_only_the_broker_itself_can_say_that_it_is_blocked() -> None:
    wire, _ = connected()

    wire.data_received(sent(1, spec.Connection.Blocked("a channel")))
    assert not is_held(wire)
    wire.data_received(BLOCKED + BLOCKED + UNBLOCKED)
    assert not is_held(wire)


async def test_what_is_not_hot_reaches_aiormq_untouched_and_in_order() -> None:
    wire, _ = connected()
    hot = fast(wire, 1)
    got: list[int] = []
    hot.receivers[b"c"] = lambda _properties, _body, tag, _again: got.append(tag)
    cold = [
        BLOCKED,
        UNBLOCKED,
        frames.HEARTBEAT,
        sent(1, spec.Basic.ConsumeOk("c")),
        *delivery(2, 1, b"for a channel of aiormq's"),
        sent(1, spec.Basic.Cancel("c")),
        sent(1, spec.Channel.Close(404, "NOT_FOUND", 60, 40)),
        sent(0, spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0)),
    ]
    mixed = b"".join(frame + b"".join(delivery(1, tag, b"x" * 200)) for tag, frame in enumerate(cold, 1))

    for start in range(0, len(mixed), 100):
        wire.data_received(mixed[start : start + 100])

    assert got == list(range(1, 11))
    assert await streamed(wire) == b"".join(cold)


class Clock:
    """As much of a loop as tells the time."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.passed = 0.0

    def time(self) -> float:
        return self._began + self.passed


async def test_a_connection_that_only_hot_frames_keep_busy_is_alive() -> None:
    wire, _ = connected(heartbeat=10.0)
    clock = Clock(wire.loop.time())
    wire.loop = clock  # type: ignore[misc, assignment]  # whose time passes as the test says
    fast(wire, 1)
    for tag, clock.passed in enumerate([1.0, 4.9, 5.1, 6.0, 10.0, 10.2, 14.0], 1):
        wire.data_received(b"".join(delivery(1, tag, b"x")))
    wire.data_received(UNBLOCKED)
    clock.passed = 18.9
    wire.data_received(b"".join(delivery(1, 8, b"x")))

    beats = [type(frame).__name__ for _, frame in parsed(await streamed(wire))]

    assert beats == ["Heartbeat", "Heartbeat", "Unblocked"]


async def test_without_a_heartbeat_none_is_made_up() -> None:
    wire, _ = connected(heartbeat=0.0)
    fast(wire, 1)

    wire.data_received(b"".join(delivery(1, 1, b"x")))

    assert await streamed(wire) == b""


async def test_a_lost_connection_wakes_everybody() -> None:
    wire, socket = connected()
    heard: list[Exception | None] = []
    wire.on_lost = heard.append
    through = fast(wire)
    message = Message(content=b"", headers={}, assurance=Assurance.CONFIRMED)
    confirm = through.publish("", "key", message, b"", mandatory=True)
    wire.data_received(BLOCKED)
    wire.pause_writing()
    waiting = asyncio.create_task(wire.room())
    draining = asyncio.create_task(wire.adapter._drain_helper())  # type: ignore[attr-defined]  # what StreamWriter.drain waits for
    await turns()
    socket.writes.clear()
    error = ConnectionResetError("gone")

    wire.connection_lost(error)
    await waiting

    assert heard == [error]
    assert confirm is not None
    assert isinstance(confirm.exception(), SessionLost)
    with pytest.raises(ConnectionResetError):
        await draining
    assert not is_held(wire)
    wire.send(frames.HEARTBEAT)
    await turns()
    assert socket.writes == []


async def test_a_reader_hears_of_the_loss_after_what_came_before_it() -> None:
    wire, _ = connected()
    wire.data_received(BLOCKED)
    wire.connection_lost(ConnectionResetError("gone"))

    with pytest.raises(ConnectionResetError, match="gone"):
        await wire.stream.read()


async def test_a_receiver_of_an_abandoned_wire_hears_no_more() -> None:
    wire, _ = connected()
    got: list[int] = []
    fast(wire).receivers[b"c"] = lambda _properties, _body, tag, _again: got.append(tag)
    late = b"".join(delivery(1, 1, b"x"))

    wire.abandon()
    wire.data_received(late)

    assert got == []
    assert await streamed(wire) == late


async def test_a_socket_that_is_closed_already_is_a_lost_connection() -> None:
    wire, socket = connected()
    heard: list[Exception | None] = []
    wire.on_lost = heard.append

    socket.is_closed = True
    wire.send(frames.HEARTBEAT)
    await turns()
    wire.send(frames.HEARTBEAT)
    await turns()

    assert [type(error) for error in heard] == [RuntimeError]


async def test_a_wire_is_opened_to_where_the_url_leads() -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait(await reader.readexactly(4))
        writer.write(UNBLOCKED)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    factory = WireFactory(None, 10.0)

    reader, writer = await factory.create(URL(f"amqp://127.0.0.1:{port}/"), ssl_context_provider=None)
    writer.write(b"AMQP")
    await writer.drain()

    assert await came.get() == b"AMQP"
    assert await reader.read() == UNBLOCKED
    assert factory.wire is not None
    assert factory.wire.stream is reader
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_nobody_at_the_other_end_is_a_connection_error() -> None:
    with sockets.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        with pytest.raises(AMQPConnectionError):
            await WireFactory(None, 0.0).create(URL(f"amqp://127.0.0.1:{unused.getsockname()[1]}/"))
    with pytest.raises(AMQPConnectionError, match="no host and port"):
        await WireFactory(None, 0.0).create(URL("nowhere"))
