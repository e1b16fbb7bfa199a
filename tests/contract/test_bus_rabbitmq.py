"""What holds on RabbitMQ alone: Nova's topology, refusals, and what the broker does to us."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from rpc.bus import BusSettings
from rpc.connect import open_transport
from rpc.errors import NotConnected, Refused, Unroutable
from rpc.transport import Delivery, Destination, Role
from services.private.rabbitmq import BrokerFailed
from tests.support.bus import PATIENCE, Ask, Log, RabbitPlace, World, add_one, until
from tests.support.rabbitmq import RabbitMQ

DURABLE = BusSettings(drain_timeout=5.0, retry_delay=0.02)


@pytest.fixture
async def world(rabbitmq: RabbitMQ) -> AsyncIterator[World]:
    world = World(RabbitPlace(rabbitmq), DURABLE)
    yield world
    await world.close()


def rows(output: str) -> set[tuple[str, ...]]:
    return {tuple(line.split("\t")) for line in output.splitlines()}


@pytest.mark.parametrize(("delivery", "is_durable"), [("durable", "true"), ("icehouse", "false")])
async def test_queues_and_exchanges_are_as_novas(
    rabbitmq: RabbitMQ, fresh_rabbitmq_url: str, delivery: str, is_durable: str
) -> None:
    vhost = fresh_rabbitmq_url.rpartition("/")[2]

    class Fresh(RabbitPlace):
        async def connect(self, settings: BusSettings):  # type: ignore[no-untyped-def]
            return await open_transport(fresh_rabbitmq_url, replace(settings, exchange="nova"))

    world = World(Fresh(rabbitmq), replace(DURABLE, delivery=delivery))
    await world.serve(add=add_one, host="h1")
    await (await world.bus()).call(world.add, Ask(number=1))

    queues = rows(
        await rabbitmq.ctl("list_queues", "-p", vhost, "--no-table-headers", "name", "durable", "auto_delete")
    )
    exchanges = rows(
        await rabbitmq.ctl(
            "list_exchanges", "-p", vhost, "--no-table-headers", "name", "type", "durable", "auto_delete"
        )
    )
    bindings = rows(
        await rabbitmq.ctl(
            "list_bindings", "-p", vhost, "--no-table-headers", "source_name", "destination_name", "routing_key"
        )
    )
    await world.close()

    topic = world.topic
    assert {("nova", "topic", is_durable, "false"), (f"{topic}_fanout", "fanout", "false", "true")} <= exchanges
    assert {(topic, is_durable, "false"), (f"{topic}.h1", is_durable, "false")} <= queues
    assert {("nova", topic, topic), ("nova", f"{topic}.h1", f"{topic}.h1")} <= bindings
    (fanout,) = [queue for queue in queues if queue[0].startswith(f"{topic}_fanout_")]
    assert fanout[1:] == ("false", "true")
    assert len(fanout[0]) == len(f"{topic}_fanout_") + 32
    (reply,) = [queue for queue in queues if queue[0].startswith("reply_")]
    assert len(reply[0]) == len("reply_") + 32


async def test_a_message_on_the_wire_is_oslo_messagings(world: World) -> None:
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    arrived: asyncio.Queue[Delivery] = asyncio.Queue()
    transport = await world.connect()
    await transport.consume([Destination(Role.SHARED, world.topic, world.topic)], arrived.put_nowait)

    delivery = await asyncio.wait_for(arrived.get(), PATIENCE)
    delivery.ack()

    outer = json.loads(delivery.body)
    inner = json.loads(outer["oslo.message"])
    assert outer["oslo.version"] == "2.0"
    assert inner["method"] == "do_it"
    assert inner["args"] == {"number": 1, "text": "", "server_id": ""}
    assert inner["version"] == "1.0"
    assert len(inner["_unique_id"]) == 32
    assert delivery.headers["traceparent"]


async def test_wrong_credentials_are_refused_at_once_and_stay_secret(
    rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "rpc")

    with pytest.raises(Refused, match="refused the connection") as refusal:
        await open_transport(f"amqp://novaflow:s3cret@127.0.0.1:{rabbitmq.port}/", DURABLE)

    assert "s3cret" not in str(refusal.value) + caplog.text


async def test_an_unknown_virtual_host_is_refused(rabbitmq: RabbitMQ) -> None:
    with pytest.raises(Refused, match="no-such-vhost"):
        await open_transport(rabbitmq.url + "no-such-vhost", DURABLE)


async def test_a_broker_of_another_delivery_mode_is_refused(world: World, rabbitmq: RabbitMQ) -> None:
    await world.connect()

    with pytest.raises(Refused, match="inequivalent arg 'durable' for exchange 'nova-durable'"):
        await open_transport(rabbitmq.url, replace(world.settings, delivery="icehouse"))


async def test_a_broker_that_is_not_there_is_waited_for_and_then_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(NotConnected, match=rf"127\.0\.0\.1:{port} is away"):
            await open_transport(f"amqp://u:s3cret@127.0.0.1:{port}/", replace(DURABLE, publish_timeout=0.3))


@pytest.mark.parametrize("url", ["amqp://user:s3c#ret@host/", "amqp://u:s3cret@host:70000/", "redis://u:s3cret@host"])
async def test_a_url_that_cannot_be_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL") as error:
        await open_transport(url, DURABLE)

    assert "s3c" not in str(error.value)


async def test_a_consumer_whose_queue_is_deleted_gets_it_back(world: World, rabbitmq: RabbitMQ) -> None:
    log = Log()
    await world.serve(do=log, host="h1")
    client = await world.bus()

    await rabbitmq.ctl("delete_queue", f"{world.topic}.h1")
    async with asyncio.timeout(PATIENCE):
        while not log.numbers:
            try:
                await client.cast(world.do.at("h1"), Ask(number=1))
                await log.until(bool)
            except Unroutable:
                continue

    assert log.numbers == [1]


async def test_two_private_nodes_do_not_meet(rabbitmq: RabbitMQ, own_rabbitmq: RabbitMQ) -> None:
    await own_rabbitmq.ctl("add_vhost", "mine")

    assert "mine" not in (await rabbitmq.ctl("list_vhosts")).split()
    with pytest.raises(BrokerFailed, match="no_such_command"):
        await rabbitmq.ctl("no_such_command")
    pid = own_rabbitmq.pid
    assert pid is not None
    await own_rabbitmq.stop()
    assert own_rabbitmq.pid is None
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", own_rabbitmq.port)
    assert rabbitmq.pid is not None


async def test_a_closed_transport_takes_nothing(world: World) -> None:
    transport = await world.connect()
    bus = await world.bus(transport)
    await transport.close()

    with pytest.raises(NotConnected, match="closed"):
        await bus.cast(world.do, Ask(number=1))


async def test_messages_keep_coming_while_others_wait_for_their_confirm(world: World) -> None:
    log = Log()
    await world.serve(do=log)
    client = await world.bus()

    await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(300)))
    await until(lambda: len(log.numbers) == 300)

    assert sorted(log.numbers) == list(range(300))


async def test_a_broker_short_of_memory_holds_publishers_back_until_it_is_well(
    world: World, rabbitmq: RabbitMQ
) -> None:
    log = Log()
    await world.serve(do=log)
    patient = await world.bus()
    impatient = await world.bus(settings=replace(world.settings, publish_timeout=0.5))

    await rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        waiting = [asyncio.create_task(patient.cast(world.do, Ask(number=n))) for n in range(20)]
        with pytest.raises(NotConnected, match="did not accept"):
            await impatient.cast(world.do, Ask(number=-1))
        assert not any(task.done() for task in waiting)
    finally:
        await rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)

    assert set(range(20)) <= set(await log.until(lambda numbers: len(set(numbers) - {-1}) == 20))
