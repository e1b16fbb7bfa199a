"""Dead letters on a real broker: looked at without a loss, replayed and purged, whoever else does so and whatever breaks."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aio_pika
import pytest
from aiormq.abc import FieldTable

from rpc.address import Address
from rpc.envelope import DEAD_SINCE, DEADLINE, ORIGIN, REASON, RETRIES, TRACEPARENT
from rpc.errors import NotConnected, Refused
from rpc.queues import DeadLetter, QueueDepth, Queues, everything, open_queues
from tests.support.rabbitmq import RabbitMQ

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def body(number: int) -> bytes:
    inner = {
        "method": "do_it",
        "args": {"number": number},
        "version": "1.0",
        "_unique_id": f"{number:032x}",
        "_context_user_id": "u",
    }
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode()


class Yard:
    """A topic with one queue, its dead letters, and a raw connection beside the one under test."""

    def __init__(self, queues: Queues, channel: aio_pika.abc.AbstractChannel, kind: str) -> None:
        self.topic = f"t{secrets.token_hex(4)}"
        self.queues = queues
        self.channel = channel
        self._arguments: FieldTable = {"x-queue-type": kind}

    async def declare(self, name: str) -> aio_pika.abc.AbstractQueue:
        return await self.channel.declare_queue(name, durable=True, arguments=self._arguments)

    async def bury(self, data: bytes, **headers: object) -> None:
        message = aio_pika.Message(data, headers=headers, content_type="application/json")  # type: ignore[arg-type]
        await self.channel.default_exchange.publish(message, f"{self.topic}.dead")

    async def bury_numbers(self, *numbers: int) -> None:
        for number in numbers:
            await self.bury(body(number), **{ORIGIN: self.topic, REASON: "failed 4 times", RETRIES: 3})

    async def numbers(self, queue: str) -> list[int]:
        """Take everything out of a queue."""
        found = []
        declared = await self.channel.get_queue(queue)
        while (message := await declared.get(no_ack=True, fail=False)) is not None:
            found.append(json.loads(json.loads(message.body)["oslo.message"])["args"]["number"])
        return found


async def close_connections_of_the_tool(rabbitmq: RabbitMQ) -> None:
    connections = await rabbitmq.ctl("list_connections", "--no-table-headers", "pid", "client_properties")
    for line in connections.splitlines():
        if "novaflow queue at" in line:
            await rabbitmq.ctl("close_connection", line.split("\t")[0], "a test")


def numbers(letters: list[DeadLetter]) -> list[int]:
    return [int(letter.unique_id, 16) for letter in letters]


@pytest.fixture(params=["classic", "quorum"])
async def yard(rabbitmq: RabbitMQ, request: pytest.FixtureRequest) -> AsyncIterator[Yard]:
    async with (
        await aio_pika.connect(rabbitmq.url) as connection,
        connection.channel() as channel,
        open_queues(Address.parse(rabbitmq.url)) as queues,
    ):
        yard = Yard(queues, channel, request.param)
        names = (yard.topic, f"{yard.topic}.dead")
        for name in names:
            await yard.declare(name)
        yield yard
        for name in names:
            await channel.queue_delete(name)


async def test_queues_are_told_by_depth_and_consumers_and_missing_ones_left_out(yard: Yard) -> None:
    async def hold(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        await message.reject()

    queue = await yard.channel.get_queue(yard.topic)
    tag = await queue.consume(hold)
    await yard.bury_numbers(1, 2)

    found = await yard.queues.depths([f"{yard.topic}.no", yard.topic, f"{yard.topic}.none", f"{yard.topic}.dead"])
    await queue.cancel(tag)

    assert found == [
        QueueDepth(name=yard.topic, messages=0, consumers=1),
        QueueDepth(name=f"{yard.topic}.dead", messages=2, consumers=0),
    ]


async def test_a_look_shows_everything_known_of_a_letter(yard: Yard) -> None:
    since = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    headers = {ORIGIN: f"{yard.topic}.h1", REASON: "disk on fire", RETRIES: 3, TRACEPARENT: TRACE}
    await yard.bury(body(7), **headers, **{DEAD_SINCE: int(since.timestamp() * 1000)})

    (letter,) = await yard.queues.peek(yard.topic, 10)

    assert (letter.position, letter.body, letter.reason) == (0, body(7), "disk on fire")
    assert (letter.queue, letter.retries, letter.dead_since) == (f"{yard.topic}.h1", 3, since)
    assert (letter.method, letter.arguments, letter.traceparent) == ("do_it", {"number": 7}, TRACE)
    assert (letter.context, int(letter.unique_id, 16)) == ({"user_id": "u"}, 7)


async def test_looking_changes_neither_number_nor_order(yard: Yard) -> None:
    await yard.bury_numbers(*range(20))

    for _ in range(3):
        assert numbers(await yard.queues.peek(yard.topic, 7)) == list(range(7))
        assert numbers(await yard.queues.peek(yard.topic, 100)) == list(range(20))


async def test_what_cannot_be_read_is_shown_too(yard: Yard) -> None:
    bodies = [b"", b"\x00\xff", b"[" * 100_000, b'{"oslo.message": 5}', b'{"oslo.message": "{\\"args\\": [1]}"}']
    for data in bodies:
        await yard.bury(data, **{REASON: 5, ORIGIN: {"a": [1]}, RETRIES: "many", DEAD_SINCE: 2**62})

    letters = await yard.queues.peek(yard.topic, 10)

    assert [letter.body for letter in letters] == bodies
    assert not any(letter.is_readable for letter in letters)
    assert {(letter.reason, letter.queue, letter.retries, letter.dead_since) for letter in letters} == {
        ("", "", 0, None)
    }
    assert len({letter.id for letter in letters}) == len(bodies)


async def test_a_topic_without_dead_letters_has_none(yard: Yard) -> None:
    assert await yard.queues.peek(f"{yard.topic}x", 5) == []
    assert (await yard.queues.replay(f"{yard.topic}x", everything)).count == 0
    assert await yard.queues.purge(f"{yard.topic}x", everything) == 0


async def test_a_tool_that_is_cut_off_while_it_looks_loses_nothing(yard: Yard, rabbitmq: RabbitMQ) -> None:
    await yard.bury_numbers(*range(5))

    def cut(letter: DeadLetter) -> bool:
        if letter.position == 2:
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        await yard.queues.replay(yard.topic, cut)

    assert sorted(await yard.numbers(yard.topic)) == [0, 1]
    async with asyncio.timeout(10):
        while len(left := await yard.queues.peek(yard.topic, 10)) < 3:
            await asyncio.sleep(0.01)
    assert numbers(left) == [2, 3, 4]


async def test_a_replay_starts_anew_where_the_message_came_from(yard: Yard) -> None:
    headers = {ORIGIN: yard.topic, REASON: "no", RETRIES: 3, DEADLINE: 5, TRACEPARENT: TRACE, DEAD_SINCE: 5}
    await yard.bury(body(1), **headers)

    replayed = await yard.queues.replay(yard.topic, everything)

    message = await (await yard.channel.get_queue(yard.topic)).get(no_ack=True)
    assert (replayed.count, replayed.stayed) == (1, ())
    message.headers.pop("x-delivery-count", None)  # a quorum queue's own
    assert (message.body, message.headers) == (body(1), {TRACEPARENT: TRACE})
    assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert message.content_type == "application/json"
    assert await yard.queues.peek(yard.topic, 1) == []


async def test_only_what_is_selected_is_replayed_and_the_rest_keeps_its_order(yard: Yard) -> None:
    await yard.bury_numbers(*range(10))

    replayed = await yard.queues.replay(yard.topic, lambda letter: int(letter.unique_id, 16) % 3 == 0)

    assert replayed.count == 4
    assert await yard.numbers(yard.topic) == [0, 3, 6, 9]
    assert numbers(await yard.queues.peek(yard.topic, 100)) == [1, 2, 4, 5, 7, 8]


async def test_what_cannot_go_back_stays_and_is_named(yard: Yard) -> None:
    topic = yard.topic
    await yard.bury(body(1), **{ORIGIN: f"{topic}.gone"})
    await yard.bury(body(2))
    await yard.bury(body(3), **{ORIGIN: f"{topic}.dead"})
    await yard.bury(body(4), **{ORIGIN: "another.topic"})
    await yard.bury_numbers(5)

    replayed = await yard.queues.replay(topic, everything)

    assert replayed.count == 1
    assert [stayed.why for stayed in replayed.stayed] == [
        f"its queue {topic}.gone is not there",
        "it does not say which queue it came from",
        "it came from the dead letters themselves",
        f"it came from another.topic, which is no queue of {topic}",
    ]
    assert {stayed.method for stayed in replayed.stayed} == {"do_it"}
    assert numbers(await yard.queues.peek(topic, 10)) == [1, 2, 3, 4]


async def test_what_dies_again_at_once_is_replayed_once(yard: Yard) -> None:
    async def kill(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        await yard.bury(message.body, **{ORIGIN: yard.topic})
        await message.ack()

    await yard.bury_numbers(1, 2, 3)
    queue = await yard.channel.get_queue(yard.topic)
    tag = await queue.consume(kill)

    replayed = await yard.queues.replay(yard.topic, everything)
    async with asyncio.timeout(10):
        while len(await yard.queues.peek(yard.topic, 10)) < 3:
            await asyncio.sleep(0.01)
    await queue.cancel(tag)

    assert replayed.count == 3


async def test_a_purge_deletes_what_is_selected_and_nothing_else(yard: Yard) -> None:
    await yard.bury_numbers(*range(6))

    assert await yard.queues.purge(yard.topic, lambda letter: int(letter.unique_id, 16) < 2) == 2
    assert numbers(await yard.queues.peek(yard.topic, 100)) == [2, 3, 4, 5]
    assert await yard.queues.purge(yard.topic, everything) == 4
    assert await yard.queues.peek(yard.topic, 100) == []


async def test_several_tools_at_once_lose_and_double_nothing(yard: Yard, rabbitmq: RabbitMQ) -> None:
    await yard.bury_numbers(*range(60))

    async def look(queues: Queues) -> None:
        for _ in range(10):
            await queues.peek(yard.topic, 5)

    async with (
        open_queues(Address.parse(rabbitmq.url)) as second,
        open_queues(Address.parse(rabbitmq.url)) as third,
        asyncio.TaskGroup() as tools,
    ):
        tools.create_task(look(yard.queues))
        one = tools.create_task(second.replay(yard.topic, everything))
        other = tools.create_task(third.replay(yard.topic, everything))

    replayed = await yard.numbers(yard.topic)
    left = numbers(await yard.queues.peek(yard.topic, 100))
    assert len(replayed) == one.result().count + other.result().count
    assert sorted(replayed + left) == list(range(60))


async def test_a_lost_connection_is_told_with_what_was_done_before(yard: Yard, rabbitmq: RabbitMQ) -> None:
    await yard.bury_numbers(*range(4))

    def cut(letter: DeadLetter) -> bool:
        if letter.position == 2:
            # In a thread that is waited for: the walk stands still meanwhile.
            with ThreadPoolExecutor() as threads:
                threads.submit(asyncio.run, close_connections_of_the_tool(rabbitmq)).result()
        return True

    with pytest.raises(NotConnected, match=rf"lost.* before that, 2 of {yard.topic} were replayed"):
        await yard.queues.replay(yard.topic, cut)

    # What was under way when the connection went may have arrived; nothing may be in neither queue.
    arrived = await yard.numbers(yard.topic)
    assert set(arrived) in ({0, 1}, {0, 1, 2})
    assert await yard.numbers(f"{yard.topic}.dead") == [2, 3]


async def test_a_broker_that_is_away_or_refuses_is_told_without_its_password(rabbitmq: RabbitMQ) -> None:
    port = urlsplit(rabbitmq.url).port

    with pytest.raises(Refused, match="refused the connection") as refused:
        async with open_queues(Address.parse(f"amqp://novaflow:s3cret@127.0.0.1:{port}/")):
            pass
    with pytest.raises(Refused, match="virtual host 'no-such'"):
        async with open_queues(Address.parse(f"{rabbitmq.url}no-such")):
            pass
    with pytest.raises(NotConnected, match="is away") as away:
        async with open_queues(Address.parse("amqp://novaflow:s3cret@127.0.0.1:1/")):
            pass

    assert "s3cret" not in f"{refused.value} {away.value}"


async def test_of_several_nodes_the_first_that_lives_is_asked(rabbitmq: RabbitMQ) -> None:
    url = rabbitmq.url.replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1")

    async with open_queues(Address.parse(url)) as queues:
        assert await queues.depths(["no-such-queue"]) == []
