"""Messages of an Icehouse-era oslo.messaging, byte for byte (tests/data/icehouse-messages), at a bus of today."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aio_pika
import msgspec
import pytest

from rpc.bus import BusSettings
from rpc.errors import BusError, CallTimeout, RemoteFailure
from rpc.procedure import Call, Cast, Fanout
from rpc.transport import Delivery, Message, destination, everyone, reply_queue
from tests.support.bus import PATIENCE, MemoryPlace, Place, RabbitPlace, World
from tests.support.rabbitmq import RabbitMQ

DATA: Final = Path(__file__).parents[1] / "data" / "icehouse-messages"


class Wire(msgspec.Struct, frozen=True):
    """One message as it was on the wire."""

    body: str
    headers: dict[str, str | int]

    @property
    def inner(self) -> dict[str, Any]:
        return opened(self.body)

    def as_answer_to(self, msg_id: str) -> bytes:
        """The bytes, with nothing changed but the call that they answer."""
        return self.body.replace(self.inner["_msg_id"], msg_id).encode()


def opened(body: str | bytes) -> dict[str, Any]:
    """What is inside an envelope."""
    inner: dict[str, Any] = msgspec.json.decode(msgspec.json.decode(body)["oslo.message"])
    return inner


def wire(name: str) -> Wire:
    return msgspec.json.decode((DATA / f"{name}.json").read_bytes(), type=Wire)


class SelectDestinations(msgspec.Struct, frozen=True, kw_only=True):
    request_spec: dict[str, Any]
    filter_properties: dict[str, Any]


class StopInstance(msgspec.Struct, frozen=True, kw_only=True):
    instance_uuid: str


class UpdateDns(msgspec.Struct, frozen=True, kw_only=True):
    network_ids: list[int]


@pytest.fixture(params=["memory", "rabbitmq"])
def place(request: pytest.FixtureRequest) -> Place:
    return MemoryPlace() if request.param == "memory" else RabbitPlace(request.getfixturevalue("rabbitmq"))


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    world = World(place, BusSettings(delivery="icehouse", drain_timeout=5.0))
    yield world
    await world.close()


async def received(world: World, queue: str) -> "asyncio.Queue[Delivery]":
    """Whatever comes to a caller's reply queue."""
    arrived: asyncio.Queue[Delivery] = asyncio.Queue()
    await (await world.connect()).consume([reply_queue(queue)], arrived.put_nowait)
    return arrived


async def test_a_call_is_answered_in_the_two_messages_that_its_client_waits_for(world: World) -> None:
    call = wire("call")
    procedure = Call(
        topic=world.topic, method="select_destinations", version="2.9", request=SelectDestinations, reply=list[str]
    )
    asked: list[SelectDestinations] = []

    async def select(ask: SelectDestinations) -> list[str]:
        asked.append(ask)
        return ["node-1"]

    answers = await received(world, call.inner["_reply_q"])
    bus = await world.bus()
    bus.on_call(procedure, select)
    await bus.serve(world.topic)
    await world.put(call.body.encode(), **call.headers)
    first, last = [opened((await asyncio.wait_for(answers.get(), PATIENCE)).body) for _ in range(2)]

    assert asked[0].request_spec["image"]["name"] == "cirros – 0.3"  # noqa: RUF001  as Icehouse sent it
    assert first["_msg_id"] == last["_msg_id"] == call.inner["_msg_id"]
    assert (first["result"], first["failure"]) == (["node-1"], None)
    # oslo.messaging 1.3.0 reads no result out of the message that ends the answer.
    assert "ending" not in first
    assert last["ending"] is True
    assert first["_unique_id"] != last["_unique_id"]


async def test_a_call_that_fails_is_answered_with_a_failure_and_an_end(world: World) -> None:
    call = wire("call")
    answers = await received(world, call.inner["_reply_q"])
    await world.serve()
    await world.put(call.body.encode(), **call.headers)

    first, last = [opened((await asyncio.wait_for(answers.get(), PATIENCE)).body) for _ in range(2)]

    failure = msgspec.json.decode(first["failure"])
    assert failure.keys() >= {"class", "module", "message", "tb", "args", "kwargs"}
    assert "select_destinations" in failure["message"]
    assert "ending" not in first
    assert (last["ending"], last["failure"]) == (True, None)


async def test_a_cast_to_a_host_is_obeyed(world: World) -> None:
    cast = wire("cast")
    obeyed: asyncio.Queue[StopInstance] = asyncio.Queue()
    bus = await world.bus()
    bus.on_cast(Cast(topic=world.topic, method="stop_instance", version="3.23", request=StopInstance), obeyed.put)
    await bus.serve(world.topic, "node-1")

    transport = await world.connect()
    await transport.publish(
        destination(world.topic, "node-1"), Message(content=cast.body.encode(), headers=cast.headers)
    )

    stop = await asyncio.wait_for(obeyed.get(), PATIENCE)
    assert stop.instance_uuid == cast.inner["args"]["instance_uuid"]


async def test_a_fanout_is_heard(world: World) -> None:
    fanout = wire("fanout")
    heard: asyncio.Queue[UpdateDns] = asyncio.Queue()
    bus = await world.bus()
    bus.on_fanout(Fanout(topic=world.topic, method="update_dns", version="1.9", request=UpdateDns), heard.put)
    await bus.serve(world.topic)

    transport = await world.connect()
    await transport.publish(everyone(world.topic), Message(content=fanout.body.encode(), headers=fanout.headers))

    assert await asyncio.wait_for(heard.get(), PATIENCE) == UpdateDns(network_ids=[1, 2])


async def answered_with(world: World, *names: str) -> object:
    """What a call of ours gives whose server answers with these messages."""
    questions: asyncio.Queue[Delivery] = asyncio.Queue()
    server = await world.connect()
    await server.consume([destination(world.topic)], questions.put_nowait)

    async def answer() -> None:
        question = await questions.get()
        question.ack()
        inner = opened(question.body)
        for name in names:
            body = wire(name).as_answer_to(inner["_msg_id"])
            await server.publish(reply_queue(inner["_reply_q"]), Message(content=body, headers={}))

    procedure: Call[SelectDestinations, object] = Call(
        topic=world.topic, method="select_destinations", request=SelectDestinations, reply=object, timeout=PATIENCE
    )
    client = await world.bus()
    async with asyncio.TaskGroup() as group:
        group.create_task(answer())
        return await client.call(procedure, SelectDestinations(request_spec={}, filter_properties={}))


async def test_its_answer_is_read_from_the_first_message(world: World) -> None:
    result = await answered_with(world, "reply", "reply-ending")

    assert result == [{"host": "node-1", "nodename": "node-1", "limits": {"memory_mb": 12288.0}}]


async def test_its_answer_may_be_nothing(world: World) -> None:
    assert await answered_with(world, "reply-none", "reply-none-ending") is None


async def test_its_answer_comes_by_an_exchange_of_the_reply_queues_own_name(rabbitmq: RabbitMQ) -> None:
    world = World(RabbitPlace(rabbitmq), BusSettings(delivery="icehouse"))
    procedure: Call[SelectDestinations, object] = Call(
        topic=world.topic, method="select_destinations", request=SelectDestinations, reply=object, timeout=PATIENCE
    )
    questions: asyncio.Queue[Delivery] = asyncio.Queue()
    await (await world.connect()).consume([destination(world.topic)], questions.put_nowait)
    client = await world.bus()

    async with await aio_pika.connect(rabbitmq.url) as connection, asyncio.TaskGroup() as group:
        calling = group.create_task(client.call(procedure, SelectDestinations(request_spec={}, filter_properties={})))
        inner = opened((await asyncio.wait_for(questions.get(), PATIENCE)).body)
        channel = await connection.channel()
        # As its DirectPublisher declares it; nothing is bound to it but what the caller has bound.
        exchange = await channel.declare_exchange(inner["_reply_q"], "direct", auto_delete=True)
        for name in ("reply", "reply-ending"):
            answer = aio_pika.Message(wire(name).as_answer_to(inner["_msg_id"]))
            await exchange.publish(answer, routing_key=inner["_reply_q"], mandatory=False)
    await world.close()

    assert calling.result() == [{"host": "node-1", "nodename": "node-1", "limits": {"memory_mb": 12288.0}}]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("failure", "NoValidHost: No valid host was found. There are not enough hosts available."),
        ("no-such-method", "no_such_thing"),
        ("unsupported-version", "version 3.0"),
    ],
)
async def test_its_failure_is_an_error_that_says_why(world: World, name: str, said: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await answered_with(world, name, "failure-ending")

    (error,) = caught.value.exceptions
    assert isinstance(error, BusError)
    assert not isinstance(error, CallTimeout)
    assert said in str(error)
    if name == "failure":
        assert isinstance(error, RemoteFailure)
