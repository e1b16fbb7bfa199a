"""Whatever arrives, a server lives on: it is handled, or in the dead letters with the reason, told once. On memory and RabbitMQ."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest
from aiormq.abc import FieldTable

from rpc.bus import BusSettings
from rpc.envelope import DEADLINE, ORIGIN, REASON, RETRIES, TRACEPARENT, Reply
from rpc.transport import Assurance, Delivery, Message, dead_letters, destination, everyone
from tests.support.bus import PATIENCE, Answer, Ask, Log, MemoryPlace, Place, RabbitPlace, World, add_one, until
from tests.support.rabbitmq import RabbitMQ

LIMIT = 300_000  # bytes a message may have here
SETTINGS = BusSettings(retries=1, retry_delay=0.01, drain_timeout=5.0, max_message_bytes=LIMIT)
DEEP = b"[" * 100_000 + b"]" * 100_000

Inject = Callable[..., Awaitable[None]]


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    world = World(place, SETTINGS)
    yield world
    await world.close()


@pytest.fixture
async def inject(place: Place, world: World, request: pytest.FixtureRequest) -> AsyncIterator[Inject]:
    """Put any bytes and headers into the topic's queue, as a client of any kind can: past our own library on RabbitMQ."""
    if isinstance(place, MemoryPlace):
        transport = await world.connect()

        async def put(body: bytes, headers: dict[str, Any] | None = None) -> None:
            message = Message(content=body, headers=headers or {}, assurance=Assurance.CONFIRMED)
            await transport.publish(destination(world.topic), message)

        yield put
        return
    node: RabbitMQ = request.getfixturevalue("rabbitmq")
    async with await aio_pika.connect(node.url) as connection, connection.channel() as channel:

        async def publish(body: bytes, headers: FieldTable | None = None) -> None:
            await channel.default_exchange.publish(aio_pika.Message(body, headers=headers), world.topic)

        yield publish


def outer(inner: bytes) -> bytes:
    return b'{"oslo.version": "2.0", "oslo.message": ' + inner + b"}"


def wrapped(inner: bytes) -> bytes:
    """An envelope around a text that should be JSON; what is no UTF-8 stays as it is."""
    return outer(b'"' + inner.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"')


def asking(arguments: bytes, more: bytes = b"") -> bytes:
    return wrapped(b'{"method": "do_it", "args": ' + arguments + more + b"}")


GOOD = asking(b'{"number": 1}')


async def dead_letters_of(world: World) -> "asyncio.Queue[Delivery]":
    """Take every dead letter as it comes."""
    transport = await world.connect()
    arrived: asyncio.Queue[Delivery] = asyncio.Queue()

    def receive(delivery: Delivery) -> None:
        arrived.put_nowait(delivery)
        delivery.ack()

    await transport.consume([dead_letters(world.topic)], receive)
    return arrived


async def next_of(letters: "asyncio.Queue[Delivery]") -> Delivery:
    return await asyncio.wait_for(letters.get(), PATIENCE)


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "envelope: ", id="nothing"),
        pytest.param(GOOD[: len(GOOD) // 2], "envelope: ", id="truncated outside"),
        pytest.param(wrapped(b'{"method": "do_it", "args": {"numb'), "oslo.message: ", id="truncated inside"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, "envelope: ", id="byte order mark"),
        pytest.param(GOOD + b"{}", "envelope: ", id="two values"),
        pytest.param(
            b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system", "envelope: ", id="pickle"
        ),
        pytest.param(outer(b'"\xff\xfe"'), "envelope: ", id="no UTF-8 outside"),
        pytest.param(wrapped(b'{"method": "\xff", "args": {}}'), "envelope: ", id="no UTF-8 inside"),
        pytest.param(outer(b'"\\ud800"'), "envelope: ", id="half a surrogate"),
        pytest.param(outer(b'"\\u0000"'), "oslo.message: ", id="NUL"),
        pytest.param(
            outer(b'{"method": "do_it", "args": {"number": 1}}'), "envelope: Expected `str`", id="object inside"
        ),
        pytest.param(outer(b"null"), "envelope: Expected `str`", id="null inside"),
        pytest.param(b'{"oslo.version": 2.0, "oslo.message": "{}"}', "envelope: Expected `str`", id="version a number"),
        pytest.param(b'{"oslo.message": "{}"}', "oslo.version", id="no version"),
        pytest.param(b'{"oslo.version": "2.0"}', "oslo.message", id="no message"),
        pytest.param(b'{"oslo.version": "1.0", "oslo.message": "{}"}', "oslo.version is '1.0'", id="older version"),
        pytest.param(b'{"x": ' + DEEP + b"}", "envelope: ", id="deep outside"),
        pytest.param(asking(b'{"number": ' + DEEP + b"}"), "oslo.message: ", id="deep arguments"),
        pytest.param(wrapped(b'{"method": "do_it", "args": "number"}'), "args: ", id="arguments a string"),
        pytest.param(wrapped(b'{"method": "do_it", "args": null}'), "args: ", id="arguments null"),
        pytest.param(wrapped(b'{"method": 5, "args": {}}'), "method", id="method a number"),
        pytest.param(wrapped(b'{"method": "\\u0000", "args": {}}'), "no method '\\x00'", id="method NUL"),
        pytest.param(wrapped(b'{"method": "__init__", "args": {}}'), "no method '__init__'", id="method of Python"),
        pytest.param(wrapped(b'{"method": "' + b"x" * 99_999 + b'", "args": {}}'), "no method 'xxx", id="method long"),
        pytest.param(asking(b'{"number": 1' + b"0" * 5000 + b"}"), "number", id="number of 5000 digits"),
        pytest.param(asking(b'{"number": 18446744073709551616.5}'), "number", id="number not whole"),
        pytest.param(asking(b'{"number": 1e999}'), "umber", id="number too large"),
        pytest.param(asking(b'{"number": NaN}'), "oslo.message: ", id="number none"),
        pytest.param(asking(b'{"number": true}'), "`int`, got `bool`", id="number a boolean"),
        pytest.param(
            asking(b'{"number": 1, "self": 2, "__class__": 3}'), "surplus arguments __class__, self", id="surplus"
        ),
        pytest.param(asking(b"{}", b', "version": "x"'), "x is asked for", id="version a word"),
        pytest.param(asking(b"{}", b', "version": "-1.-5"'), "is asked for", id="version negative"),
        pytest.param(asking(b"{}", b', "version": "' + b"9" * 5000 + b'.0"'), "is asked for", id="version huge"),
        pytest.param(asking(b"{}", b', "namespace": "os"'), "namespace 'os'", id="namespace"),
        pytest.param(asking(b"{}", b', "_unique_id": 7'), "_unique_id", id="id a number"),
        pytest.param(asking(b"{}", b', "_msg_id": "m"'), "_msg_id and _reply_q", id="no reply queue"),
        pytest.param(asking(b"{}", b', "_reply_q": "q"'), "_msg_id and _reply_q", id="no message id"),
        pytest.param(
            asking(b"{}", b', "_msg_id": "m", "_reply_q": "' + b"q" * 256 + b'"'), "longer than", id="reply queue long"
        ),
        pytest.param(asking(b'{"number": 1, "text": "' + b"x" * LIMIT + b'"}'), f"limit is {LIMIT}", id="too large"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_told_once_and_the_next_message_is_handled(
    world: World, inject: Inject, caplog: pytest.LogCaptureFixture, body: bytes, reason: str
) -> None:
    log = Log()
    server = await world.serve(do=log)

    await inject(body)
    await inject(GOOD)
    letter = await world.next_dead_letter()

    assert letter.body == body
    assert reason in str(letter.headers[REASON])
    assert letter.headers[ORIGIN] == world.topic
    assert await log.until(bool) == [1]
    assert (server.counts["dead"], server.counts["redelivered"]) == (1, 0)
    assert len(told(caplog)) == 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({DEADLINE: "soon"}, f"header {DEADLINE}"),
        ({DEADLINE: -1}, f"header {DEADLINE}"),
        ({DEADLINE: True}, f"header {DEADLINE}"),
        ({DEADLINE: 1.5}, f"header {DEADLINE}"),
        ({DEADLINE: {"in": [5, {"seconds": []}]}}, f"header {DEADLINE}"),
        ({RETRIES: "many"}, f"header {RETRIES}"),
        ({RETRIES: -5}, f"header {RETRIES}"),
        ({RETRIES: [1]}, f"header {RETRIES}"),
    ],
    ids=str,
)
async def test_headers_that_say_nothing_sensible_are_named_in_the_dead_letter(
    world: World, inject: Inject, caplog: pytest.LogCaptureFixture, headers: dict[str, Any], reason: str
) -> None:
    log = Log()
    server = await world.serve(do=log)

    await inject(GOOD, headers)
    letter = await world.next_dead_letter()
    await inject(GOOD)

    assert reason in str(letter.headers[REASON])
    assert await log.until(bool) == [1]
    assert server.counts["dead"] == 1
    assert len(told(caplog)) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {TRACEPARENT: 5},
        {TRACEPARENT: "00-zz-zz-zz"},
        {TRACEPARENT: "x" * 10_000},
        {TRACEPARENT: {"a": {"b": ["c"]}}},
        {DEADLINE: 2**62},
        {RETRIES: 2**62},
        {"x-death": [{"count": 1, "time": datetime(2026, 1, 1, tzinfo=UTC), "queue": "q"}], "n": None, "b": False},
        {"": "", "x" * 255: "y" * 10_000},
        {f"x-{number}": number for number in range(500)},
    ],
    ids=lambda headers: str(headers)[:40],
)
async def test_headers_that_do_not_matter_cost_nothing(world: World, inject: Inject, headers: dict[str, Any]) -> None:
    log = Log()
    server = await world.serve(do=log)

    await inject(GOOD, headers)

    assert await log.until(bool) == [1]
    assert server.counts["dead"] == 0


async def test_a_retry_count_beyond_every_budget_ends_in_the_dead_letters(world: World, inject: Inject) -> None:
    log = Log()

    async def fail(ask: Ask) -> None:
        await log.note(ask.number)
        raise RuntimeError("no")

    server = await world.serve(do=fail)

    await inject(GOOD, {RETRIES: 2**62})

    assert "last by RuntimeError: no" in str((await world.next_dead_letter()).headers[REASON])
    assert (log.numbers, server.counts["retried"]) == ([1], 0)


async def test_a_message_whose_deadline_has_passed_is_counted_and_not_handled(world: World, inject: Inject) -> None:
    log = Log()
    server = await world.serve(do=log)

    await inject(asking(b'{"number": 2}'), {DEADLINE: 1})
    await inject(GOOD)

    assert await log.until(bool) == [1]
    assert (server.counts["expired"], server.counts["dead"]) == (1, 0)


async def test_of_two_equal_keys_the_last_one_counts(world: World, inject: Inject) -> None:
    log = Log()
    await world.serve(do=log)

    await inject(
        wrapped(b'{"method": "no", "method": "do_it", "args": {"number": 1}, "args": {"number": 2, "number": 3}}')
    )

    assert await log.until(bool) == [3]


@pytest.mark.parametrize("deadline", [2**62, 10**15, 2**32 * 1000])
async def test_a_call_may_set_itself_any_deadline(world: World, inject: Inject, deadline: int) -> None:
    transport = await world.connect()
    question = json.dumps(
        {"method": "add_one", "args": {"number": 1}, "_msg_id": "m", "_reply_q": await transport.reply_queue()}
    )
    loop = asyncio.get_running_loop()
    answer = transport.replies.expect("m", loop.time() + PATIENCE, loop)
    server = await world.serve(add=add_one)

    await inject(wrapped(question.encode()), {DEADLINE: deadline})

    reply = await asyncio.wait_for(answer, PATIENCE)
    assert isinstance(reply, Reply)
    assert json.loads(bytes(reply.result))["number"] == 2
    assert (server.counts["received"], server.counts["redelivered"]) == (1, 0)


@pytest.mark.parametrize("reply_queue", ["", "no-such-queue", "\x00", "☂" * 85, "amq.rabbitmq.reply-to"])
async def test_an_answer_for_a_queue_that_cannot_be_disturbs_nobody(
    world: World, inject: Inject, reply_queue: str
) -> None:
    log = Log()

    async def answer(ask: Ask) -> Answer:
        await log.note(ask.number)
        return Answer(number=ask.number)

    server = await world.serve(add=answer)
    client = await world.bus()
    question = json.dumps({"method": "add_one", "args": {"number": 1}, "_msg_id": "m", "_reply_q": reply_queue})

    await inject(wrapped(question.encode()))
    await log.until(bool)

    assert (await client.call(world.add, Ask(number=2))).number == 2
    assert server.counts["redelivered"] == 0


async def test_an_answer_sent_to_the_server_itself_is_one_dead_letter_and_no_loop(world: World, inject: Inject) -> None:
    server = await world.serve(add=add_one)
    letters = await dead_letters_of(world)
    question = json.dumps(
        {"method": "add_one", "args": {"number": 1}, "_msg_id": "m", "_reply_q": world.topic, "_timeout": None}
    )

    await inject(wrapped(question.encode()))
    letter = await next_of(letters)
    client = await world.bus()
    await client.call(world.add, Ask(number=2))

    assert "`method`" in str(letter.headers[REASON])
    assert letters.empty()
    assert server.counts["dead"] == 1


async def test_what_cannot_be_read_of_a_fanout_is_a_dead_letter_of_the_topic(world: World) -> None:
    log = Log()
    await world.serve(hear=log)
    client = await world.bus()
    transport = await world.connect()

    await transport.publish(everyone(world.topic), Message(content=b"{", headers={}))
    letter = await world.next_dead_letter()
    await client.fanout(world.hear, Ask(number=1))

    assert letter.headers[ORIGIN] == f"{world.topic}_fanout"
    assert await log.until(bool) == [1]


async def test_icehouse_delivery_keeps_what_it_cannot_read_as_well(place: Place) -> None:
    world = World(place, replace(SETTINGS, delivery="icehouse"))
    log = Log()
    server = await world.serve(do=log)
    transport = await world.connect()

    await transport.publish(destination(world.topic), Message(content=b"{", headers={}))
    letter = await world.next_dead_letter()
    await transport.publish(destination(world.topic), Message(content=GOOD, headers={}))

    assert "envelope: " in str(letter.headers[REASON])
    assert await log.until(bool) == [1]
    assert server.counts["dead"] == 1
    await world.close()


async def test_poison_among_good_messages_is_buried_once_each_and_holds_nothing_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()

    async def work(ask: Ask) -> None:
        if ask.number % 5 == 0:
            raise RuntimeError(f"poison {ask.number}")
        await log.note(ask.number)

    server = await world.serve(do=work, settings=replace(world.settings, prefetch=3))
    letters = await dead_letters_of(world)
    client = await world.bus()

    await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(50)))
    reasons = {str((await next_of(letters)).headers[REASON]) for _ in range(10)}
    await log.until(lambda numbers: len(numbers) == 40)

    assert reasons == {f"failed 2 times, last by RuntimeError: poison {n}" for n in range(0, 50, 5)}
    assert sorted(log.numbers) == [n for n in range(50) if n % 5]
    assert (server.counts["dead"], server.counts["retried"], letters.empty()) == (10, 10, True)
    assert len([record for record in caplog.records if "dead-letter" in record.message]) == 10


def noise(dice: random.Random) -> bytes:
    """Bytes, broken JSON, or a good message with a few bytes changed."""
    kind = dice.randrange(3)
    if kind == 0:
        return dice.randbytes(dice.randrange(64))
    if kind == 1:
        return GOOD[: dice.randrange(len(GOOD))]
    changed = bytearray(asking(b'{"number": 0, "text": "abc"}', b', "version": "1.0"'))
    for _ in range(dice.randrange(1, 4)):
        changed[dice.randrange(len(changed))] = dice.choice([dice.randrange(256), dice.randrange(32, 127)])
    return bytes(changed)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_bytes_are_handled_or_buried_and_nothing_comes_twice(world: World, inject: Inject, seed: int) -> None:
    dice = random.Random(seed)
    log = Log()
    server = await world.serve(do=log)
    letters = await dead_letters_of(world)

    for _ in range(300):
        await inject(noise(dice))
    await inject(asking(b'{"number": 4711}'))
    await log.until(lambda numbers: 4711 in numbers)
    await until(lambda: server.counts["dead"] + len(log.numbers) == 301)
    reasons = [str((await next_of(letters)).headers[REASON]) for _ in range(server.counts["dead"])]

    assert len(reasons) > 200
    assert not [reason for reason in reasons if "the bus could not work on it" in reason]
    assert server.counts["redelivered"] == 0


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 262_128, 262_129])
async def test_a_message_may_fill_its_frames_exactly(rabbitmq: RabbitMQ, size: int) -> None:
    world = World(RabbitPlace(rabbitmq), SETTINGS)
    log = Log()
    await world.serve(do=log)
    body = asking(b'{"number": 1, "text": "%s"}' % (b"x" * max(0, size - len(asking(b'{"number": 1, "text": ""}')))))
    body = body if size > len(GOOD) else b"x" * size

    async with await aio_pika.connect(rabbitmq.url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(body), world.topic)
        if size > len(GOOD):
            assert len(body) == size
            assert await log.until(bool) == [1]
        else:
            assert (await world.next_dead_letter()).body == body
    await world.close()


async def test_properties_of_other_clients_do_not_matter(rabbitmq: RabbitMQ) -> None:
    world = World(RabbitPlace(rabbitmq), SETTINGS)
    log = Log()
    server = await world.serve(do=log)
    odd = aio_pika.Message(
        GOOD,
        content_type="application/x-python-serialize",
        content_encoding="base64",
        priority=255,
        correlation_id="\x00" * 255,
        reply_to="x" * 255,
        expiration=60,
        message_id="☂" * 80,
        timestamp=datetime(2106, 1, 1, tzinfo=UTC),
        type="os.system",
        app_id="x" * 255,
    )

    async with await aio_pika.connect(rabbitmq.url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(odd, world.topic)
        await channel.default_exchange.publish(aio_pika.Message(GOOD), world.topic)
        await log.until(lambda numbers: len(numbers) == 2)

    assert server.counts["dead"] == 0
    await world.close()
