"""What becomes of casts that fail or cannot be handled: memory and RabbitMQ alike."""

import asyncio
from dataclasses import replace

import pytest

from novaflow.errors import NotFound
from rpc.envelope import ORIGIN, REASON
from rpc.errors import Away
from rpc.procedure import Cast
from tests.support.bus import Ask, Log, World, add_one, until


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x00\xff not json", "envelope: "),
        (b"[]", "envelope: "),
        (b'{"oslo.version": "3.0", "oslo.message": "{}"}', "oslo.version is '3.0'"),
        (b'{"oslo.version": "2.0", "oslo.message": "{}"}', "`method`"),
        (b'{"oslo.version": "2.0", "oslo.message": "{\\"method\\": \\"no_such\\", \\"args\\": {}}"}', "no_such"),
        (b'{"oslo.version": "2.0", "oslo.message": "{\\"method\\": \\"do_it\\", \\"args\\": {}}"}', "`number`"),
        (b'{"oslo.version": "2.0", "oslo.message": "{\\"method\\": \\"do_it\\", \\"args\\": []}"}', "args: "),
        (
            b'{"oslo.version": "2.0", "oslo.message": "{\\"method\\": \\"do_it\\", \\"args\\": {\\"number\\": \\"1\\"}}"}',
            "Expected `int`, got `str`",
        ),
        (
            b'{"oslo.version": "2.0", "oslo.message": "{\\"method\\": \\"do_it\\", \\"args\\": {\\"number\\": 1, \\"x\\": 2}}"}',
            "surplus arguments x",
        ),
        (
            b'{"oslo.version": "2.0", "oslo.message": "{\\"method\\": \\"do_it\\", \\"args\\": {\\"number\\": 1}, \\"version\\": \\"1.7\\"}"}',
            "1.7 is asked for; 1.0 is served",
        ),
        (b'{"oslo.version": "2.0", "oslo.message": "' + b"[" * 100_000 + b'"}', "oslo.message: "),
    ],
)
async def test_what_cannot_be_handled_goes_to_the_dead_letters_and_the_consumer_lives_on(
    world: World, body: bytes, reason: str
) -> None:
    log = Log()
    server = await world.serve(do=log)
    client = await world.bus()

    await world.put(body)
    await client.cast(world.do, Ask(number=1))
    dead = await world.next_dead_letter()

    assert dead.body == body
    assert reason in str(dead.headers[REASON])
    assert dead.headers[ORIGIN] == world.topic
    assert await log.until(lambda numbers: bool(numbers)) == [1]
    assert server.counts["dead"] == 1


async def test_a_cast_that_fails_once_is_retried(world: World) -> None:
    log = Log()

    async def fail_once(ask: Ask) -> None:
        await log.note(ask.number)
        if len(log.numbers) == 1:
            raise RuntimeError("not yet")

    server = await world.serve(do=fail_once, host="h1")
    client = await world.bus()

    await client.cast(world.do.at("h1"), Ask(number=5))

    assert await log.until(lambda numbers: len(numbers) == 2) == [5, 5]
    assert (server.counts["retried"], server.counts["dead"]) == (1, 0)


async def test_a_cast_whose_handler_finds_something_away_comes_again_until_it_is_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()

    async def wait_for_database(ask: Ask) -> None:
        await log.note(ask.number)
        if len(log.numbers) < 6:
            raise Away("the database is away")

    server = await world.serve(do=wait_for_database)
    client = await world.bus()

    await client.cast(world.do, Ask(number=5))

    assert await log.until(lambda numbers: len(numbers) == 6) == [5] * 6
    assert (server.counts["retried"], server.counts["dead"]) == (5, 0)
    assert "the database is away" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_cast_that_always_fails_is_dead_after_its_budget(world: World) -> None:
    log = Log()

    async def fail(ask: Ask) -> None:
        await log.note(ask.number)
        raise RuntimeError("disk on fire")

    await world.serve(do=fail)
    client = await world.bus()

    await client.cast(world.do, Ask(number=5))
    dead = await world.next_dead_letter()

    assert dead.headers[REASON] == "failed 3 times, last by RuntimeError: disk on fire"
    assert log.numbers == [5, 5, 5]


async def test_a_message_that_the_bus_itself_stumbles_over_is_dead_at_once_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise ValueError("even saying what is wrong goes wrong")

    log = Log()

    async def fail_once(ask: Ask) -> None:
        await log.note(ask.number)
        if ask.number == 5:
            raise Unspeakable

    server = await world.serve(do=fail_once, settings=replace(world.settings, retries=0, prefetch=1))
    client = await world.bus()

    await client.cast(world.do, Ask(number=5))
    dead = await world.next_dead_letter()
    await client.cast(world.do, Ask(number=6))

    assert await log.until(lambda numbers: 6 in numbers) == [5, 6]
    assert dead.headers[REASON] == "the bus could not work on it: ValueError"
    assert dead.headers[ORIGIN] == world.topic
    assert (server.counts["dead"], server.counts["redelivered"]) == (1, 0)
    assert len([record for record in caplog.records if "dead-letter" in record.message]) == 1


async def test_a_handler_that_awaits_something_cancelled_has_failed(world: World) -> None:
    async def stumble(ask: Ask) -> None:
        other = asyncio.create_task(asyncio.sleep(3600))
        other.cancel()
        await other

    await world.serve(do=stumble)
    client = await world.bus()

    await client.cast(world.do, Ask(number=5))

    assert "awaited something that was cancelled" in str((await world.next_dead_letter()).headers[REASON])


async def test_a_cast_that_is_refused_is_not_retried(world: World) -> None:
    log = Log()

    async def refuse(ask: Ask) -> None:
        await log.note(ask.number)
        raise NotFound(kind="Instance", key="x")

    server = await world.serve(do=refuse)
    client = await world.bus()

    await client.cast(world.do, Ask(number=5))
    await until(lambda: server.counts["refused"] == 1)

    assert log.numbers == [5]
    assert server.counts["dead"] == 0


async def test_a_cast_of_what_is_a_call_is_dead(world: World) -> None:
    await world.serve(add=add_one)
    client = await world.bus()

    await client.cast(Cast(topic=world.topic, method="add_one", request=Ask), Ask(number=1))

    assert "is a call, not a cast" in str((await world.next_dead_letter()).headers[REASON])
