import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from rpc.envelope import Request, unpack
from rpc.errors import BadMessage, NotConnected, Unroutable
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.settings import BusSettings
from rpc.transport import Assurance, Delivery, Message, destination, everyone, reply_queue

TOPIC = destination("compute")
HOST = destination("compute", "h1")
LIMIT = 1_000_000


def message(body: bytes = b"x", *, ttl: float | None = None, assurance: Assurance = Assurance.CONFIRMED) -> Message:
    return Message(content=body, headers={}, assurance=assurance, ttl=ttl)


def transport(
    broker: MemoryBroker | None = None, *, prefetch: int = 10, publish_timeout: float = 5.0, limit: int = LIMIT
) -> MemoryTransport:
    settings = BusSettings(prefetch=prefetch, publish_timeout=publish_timeout, max_message_bytes=limit)
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
    assert sender.waiting == 1
    await transport(broker).consume([TOPIC], got.append)
    await late

    assert bodies(got) == [b"1", b"2", b"3"]
    assert sender.waiting == 0


async def test_a_queue_that_stays_full_refuses_in_the_end() -> None:
    sender = transport(MemoryBroker(limit=1))
    await publish(sender, b"1")

    with pytest.raises(NotConnected, match=r"compute stayed full for 0\.01 s"):
        await sender.publish(TOPIC, message(b"2"), timeout=0.01)
    assert sender.waiting == 0


async def test_what_is_given_back_takes_its_old_place_and_is_marked() -> None:
    broker = MemoryBroker()
    got: list[Delivery] = []
    receiver = transport(broker, prefetch=2)
    subscription = await receiver.consume([TOPIC], got.append)
    await publish(receiver, b"1", b"2", b"3")
    await subscription.cancel()
    again: list[Delivery] = []

    got[1].nack()
    got[0].nack()
    got[0].nack()
    await transport(broker).consume([TOPIC], again.append)

    assert bodies(got) == [b"1", b"2"]
    assert [(d.body, d.redelivered) for d in again] == [(b"1", True), (b"2", True), (b"3", False)]


async def test_a_cancelled_consumer_may_still_settle_what_it_has() -> None:
    broker = MemoryBroker()
    got: list[Delivery] = []
    receiver = transport(broker)
    subscription = await receiver.consume([TOPIC], got.append)
    await publish(receiver, b"1", b"2")

    await subscription.cancel()
    got[0].ack()
    got[1].nack()

    assert broker.depth("compute") == 1


async def sever(receiver: MemoryTransport) -> None:
    receiver.sever()


@pytest.mark.parametrize("end", [MemoryTransport.close, sever])
async def test_what_a_lost_connection_had_is_delivered_again_and_its_acknowledgements_count_no_more(
    end: Callable[[MemoryTransport], Awaitable[None]],
) -> None:
    broker = MemoryBroker()
    got: list[Delivery] = []
    again: list[Delivery] = []
    receiver = transport(broker, prefetch=2)
    await receiver.consume([TOPIC], got.append)
    await publish(transport(broker), b"1", b"2", b"3")
    await (await transport(broker).consume([HOST], got.append)).cancel()

    await end(receiver)
    got[0].ack()
    first_two = got[:2]
    other = transport(broker)
    await other.consume([TOPIC], again.append)
    for delivery in got[2:]:
        delivery.ack()

    assert bodies(first_two) == [b"1", b"2"]
    assert sorted(bodies(got[2:] + again)) == [b"1", b"2", b"3"]


async def test_a_lost_connection_is_counted_and_one_that_is_closed_is_not_there() -> None:
    process = transport()
    assert (process.is_connected, process.reconnects) == (True, 0)

    process.sever()
    assert (process.is_connected, process.reconnects) == (True, 1)

    await process.close()
    assert (process.is_connected, process.reply_name) == (False, "")


async def test_a_message_that_waited_too_long_is_dropped() -> None:
    broker = MemoryBroker()
    sender = transport(broker)
    got: list[Delivery] = []

    await sender.publish(TOPIC, message(b"late", ttl=0.001))
    await sender.publish(TOPIC, message(b"fine", ttl=60.0))
    await asyncio.sleep(0.01)
    await sender.consume([TOPIC], got.append)

    assert bodies(got) == [b"fine"]


async def test_temporary_queues_end_with_their_consumers_and_others_stay() -> None:
    broker = MemoryBroker()
    process = transport(broker)
    got: list[Delivery] = []
    fanout = await process.consume([everyone("compute")], got.append)
    shared = await process.consume([TOPIC], got.append)
    replies = await process.reply_queue()
    assert replies == await process.reply_queue() == process.reply_name

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


async def test_many_queues_are_consumed_and_cancelled_as_one() -> None:
    process = transport()
    got: list[Delivery] = []
    subscription = await process.consume([TOPIC, HOST, everyone("compute")], got.append)

    for to in (TOPIC, HOST, everyone("compute")):
        await process.publish(to, message(to.name.encode()))
    await subscription.cancel()
    await process.publish(HOST, message(b"late"))

    assert [(d.source, d.body) for d in got] == [
        (TOPIC, b"compute"),
        (HOST, b"compute.h1"),
        (everyone("compute"), b"compute_fanout"),
    ]


async def test_only_what_somebody_relies_on_is_unroutable() -> None:
    sender = transport()

    await sender.publish(HOST, message(assurance=Assurance.NONE))
    for assurance in (Assurance.ROUTED, Assurance.CONFIRMED):
        with pytest.raises(Unroutable, match=r"compute\.h1"):
            await sender.publish(HOST, message(assurance=assurance))


async def test_a_request_crosses_as_it_would_as_bytes_and_within_the_same_limit() -> None:
    sent = Request(method="do", args=msgspec.Raw(b'{"x":"' + b'\\"' * 400 + b'"}'), unique_id="u", weight=808)
    size = len(sent.pack(LIMIT))
    got: list[Delivery] = []
    roomy, tight = transport(limit=size), transport(limit=size - 1)
    await roomy.consume([TOPIC], got.append)

    await roomy.publish(TOPIC, Message(content=sent, headers={}))
    with pytest.raises(BadMessage, match=f"{size} bytes; the limit is {size - 1}"):
        await tight.publish(TOPIC, Message(content=sent, headers={}))

    assert got[0].request(LIMIT).args == sent.args
    assert unpack(got[0].body, LIMIT).method == "do"


async def test_a_closed_connection_does_nothing_more() -> None:
    closed = transport()
    await closed.close()

    for doing in (closed.publish(TOPIC, message()), closed.consume([TOPIC], print), closed.reply_queue()):
        with pytest.raises(NotConnected):
            await doing
    for to in (TOPIC, HOST, everyone("compute"), reply_queue("reply_1")):
        with pytest.raises(NotConnected):
            closed.post(to, message(assurance=Assurance.NONE))


async def test_a_delivery_is_settled_in_the_queue_that_it_came_from() -> None:
    broker = MemoryBroker()
    process = transport(broker)
    shared: list[Delivery] = []
    own: list[Delivery] = []
    await process.consume([TOPIC], shared.append)
    await process.consume([HOST], own.append)
    for to in (TOPIC, HOST):
        await process.publish(to, message(to.name.encode()))
    assert shared[0].tag == own[0].tag

    shared[0].ack()
    process.sever()

    assert bodies(shared) == [b"compute"]
    assert [(d.body, d.redelivered) for d in own] == [(b"compute.h1", False), (b"compute.h1", True)]


def unconfirmed(body: bytes = b"x") -> Message:
    return message(body, assurance=Assurance.NONE)


async def test_what_is_posted_is_delivered_at_once() -> None:
    broker = MemoryBroker()
    got: list[Delivery] = []
    await transport(broker).consume([TOPIC, HOST, everyone("compute")], got.append)
    sender = transport(broker)

    for to in (TOPIC, HOST, everyone("compute")):
        assert sender.post(to, unconfirmed(to.name.encode()))
    assert sender.post(HOST, message(b"a question", assurance=Assurance.ROUTED))

    assert bodies(got) == [b"compute", b"compute.h1", b"compute_fanout", b"a question"]


async def test_what_is_to_be_confirmed_is_not_posted() -> None:
    broker = MemoryBroker()

    assert not transport(broker).post(TOPIC, message(assurance=Assurance.CONFIRMED))

    assert broker.depth("compute") == 0


async def test_what_several_queues_take_is_published_and_reaches_each_of_them_once() -> None:
    broker = MemoryBroker()
    process, sender = transport(broker), transport(broker)
    one: list[Delivery] = []
    two: list[Delivery] = []
    await process.consume([everyone("compute")], one.append)
    await process.consume([everyone("compute")], two.append)

    assert not sender.post(everyone("compute"), unconfirmed())
    assert one == two == []
    await sender.publish(everyone("compute"), unconfirmed())

    assert bodies(one) == bodies(two) == [b"x"]


async def test_nothing_is_posted_into_a_full_queue_until_there_is_room() -> None:
    broker = MemoryBroker(limit=1)
    sender = transport(broker)
    got: list[Delivery] = []
    assert sender.post(TOPIC, unconfirmed(b"1"))

    assert not sender.post(TOPIC, unconfirmed(b"2"))
    assert broker.depth("compute") == 1
    await sender.consume([TOPIC], got.append)
    assert sender.post(TOPIC, unconfirmed(b"3"))

    assert bodies(got) == [b"1", b"3"]


async def test_what_nobody_takes_is_posted_in_vain_unless_somebody_relies_on_it() -> None:
    sender = transport()

    for to in (HOST, reply_queue("reply_1"), everyone("compute")):
        assert sender.post(to, unconfirmed())
    with pytest.raises(Unroutable, match=r"compute\.h1"):
        sender.post(HOST, message(assurance=Assurance.ROUTED))


async def test_a_message_over_the_limit_is_not_posted() -> None:
    broker = MemoryBroker()
    sent = Request(method="do", args=msgspec.Raw(b'"' + b"x" * 2000 + b'"'), unique_id="u", weight=2002)

    with pytest.raises(BadMessage, match="the limit is 2000"):
        transport(broker, limit=2000).post(TOPIC, Message(content=sent, headers={}))

    assert broker.depth("compute") == 0
