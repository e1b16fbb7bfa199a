import asyncio
from collections.abc import Callable

import pytest

from rpc.errors import NotConnected, Unroutable
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.settings import BusSettings
from rpc.transport import Delivery, Message, destination, everyone, reply_queue

TOPIC = destination("compute")
HOST = destination("compute", "h1")


def message(body: bytes = b"x", *, ttl: float | None = None) -> Message:
    return Message(body=body, headers={}, assured=True, ttl=ttl)


def transport(
    broker: MemoryBroker | None = None, *, prefetch: int = 10, publish_timeout: float = 5.0
) -> MemoryTransport:
    settings = BusSettings(prefetch=prefetch, publish_timeout=publish_timeout)
    return MemoryTransport(broker or MemoryBroker(), settings)


async def publish(to: MemoryTransport, *bodies: bytes) -> None:
    for body in bodies:
        await to.publish(TOPIC, message(body))


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


async def test_a_full_queue_holds_publishers_back_until_there_is_room() -> None:
    broker = MemoryBroker(limit=2)
    sender = transport(broker)
    await publish(sender, b"1", b"2")
    late = asyncio.create_task(sender.publish(TOPIC, message(b"3")))
    await asyncio.sleep(0)
    got: list[Delivery] = []

    assert not late.done()
    await transport(broker).consume(TOPIC, got.append)
    await late

    assert bodies(got) == [b"1", b"2", b"3"]


async def test_a_queue_that_stays_full_refuses_in_the_end() -> None:
    sender = transport(MemoryBroker(limit=1))
    await publish(sender, b"1")

    with pytest.raises(NotConnected, match=r"compute stayed full for 0\.01 s"):
        await sender.publish(TOPIC, message(b"2"), timeout=0.01)


async def test_what_is_given_back_takes_its_old_place_and_is_marked() -> None:
    broker = MemoryBroker()
    got: list[Delivery] = []
    receiver = transport(broker, prefetch=2)
    subscription = await receiver.consume(TOPIC, got.append)
    await publish(receiver, b"1", b"2", b"3")
    await subscription.cancel()
    again: list[Delivery] = []

    await receiver.nack(got[1])
    await receiver.nack(got[0])
    await receiver.nack(got[0])
    await transport(broker).consume(TOPIC, again.append)

    assert bodies(got) == [b"1", b"2"]
    assert [(d.body, d.redelivered) for d in again] == [(b"1", True), (b"2", True), (b"3", False)]


async def test_a_cancelled_consumer_may_still_settle_what_it_has() -> None:
    broker = MemoryBroker()
    got: list[Delivery] = []
    receiver = transport(broker)
    subscription = await receiver.consume(TOPIC, got.append)
    await publish(receiver, b"1", b"2")

    await subscription.cancel()
    await receiver.ack(got[0])
    await receiver.nack(got[1])

    assert broker.depth("compute") == 1


@pytest.mark.parametrize("end", [MemoryTransport.close, lambda receiver: asyncio.sleep(0, receiver.sever())])
async def test_what_a_lost_connection_had_is_delivered_again_and_its_acknowledgements_count_no_more(
    end: Callable[[MemoryTransport], asyncio.Future[None]],
) -> None:
    broker = MemoryBroker()
    got: list[Delivery] = []
    again: list[Delivery] = []
    receiver = transport(broker, prefetch=2)
    await receiver.consume(TOPIC, got.append)
    await publish(transport(broker), b"1", b"2", b"3")
    await (await transport(broker).consume(HOST, got.append)).cancel()

    await end(receiver)
    await receiver.ack(got[0])
    first_two = got[:2]
    other = transport(broker)
    await other.consume(TOPIC, again.append)
    for delivery in got[2:]:
        await receiver.ack(delivery)

    assert bodies(first_two) == [b"1", b"2"]
    assert sorted(bodies(got[2:] + again)) == [b"1", b"2", b"3"]


async def test_a_message_that_waited_too_long_is_dropped() -> None:
    broker = MemoryBroker()
    sender = transport(broker)
    got: list[Delivery] = []

    await sender.publish(TOPIC, message(b"late", ttl=0.001))
    await sender.publish(TOPIC, message(b"fine", ttl=60.0))
    await asyncio.sleep(0.01)
    await sender.consume(TOPIC, got.append)

    assert bodies(got) == [b"fine"]


async def test_temporary_queues_end_with_their_consumers_and_others_stay() -> None:
    broker = MemoryBroker()
    process = transport(broker)
    got: list[Delivery] = []
    fanout = await process.consume(everyone("compute"), got.append)
    shared = await process.consume(TOPIC, got.append)
    replies = await process.reply_queue()
    assert replies == await process.reply_queue()

    await fanout.cancel()
    await shared.cancel()
    await process.close()
    sender = transport(broker)
    await sender.publish(everyone("compute"), message())
    await sender.publish(TOPIC, message())

    assert broker.depth("compute") == 1
    with pytest.raises(Unroutable):
        await sender.publish(reply_queue(replies), message())
    assert got == []


async def test_a_closed_connection_does_nothing_more() -> None:
    closed = transport()
    await closed.close()

    for doing in (closed.publish(TOPIC, message()), closed.consume(TOPIC, print), closed.reply_queue()):
        with pytest.raises(NotConnected):
            await doing


async def test_deliveries_of_another_transport_are_not_settled() -> None:
    stranger = Delivery(body=b"", headers={}, redelivered=False, tag=1)

    with pytest.raises(TypeError, match="not from a memory transport"):
        await transport().ack(stranger)
