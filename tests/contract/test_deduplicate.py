"""A deduplicating hook where messages really come twice: a lost connection, a second publish, another process."""

import asyncio
from dataclasses import replace

from rpc.dedup import Deduplicate, RecentIds
from rpc.envelope import Envelope
from rpc.hooks import Forward, Hook
from rpc.transport import Assurance, Message, destination
from tests.support.bus import Answer, Ask, Log, World, until


async def repeated_by_a_lost_connection(world: World, hook: Hook, failures: int) -> tuple[Log, Log]:
    """A cast whose connection is lost while its first handler runs, so that the broker delivers it again."""
    arrived, started, finished = Log(), Log(), Log()
    release = asyncio.Event()

    async def note(envelope: Envelope, forward: Forward) -> None:
        await arrived.note(1)
        await forward(envelope)

    async def work(ask: Ask) -> None:
        await started.note(ask.number)
        attempt = len(started.numbers)
        await release.wait()
        if attempt <= failures:
            raise RuntimeError("not yet")
        await finished.note(ask.number)

    server = await world.serve(do=work, host="h1", hooks=[note, hook])
    client = await world.bus()
    await client.cast(world.do.at("h1"), Ask(number=1))
    await started.until(bool)
    await world.place.sever()
    await arrived.until(lambda numbers: len(numbers) == 2)
    assert (server.counts["redelivered"], len(started.numbers)) == (1, 1)
    release.set()
    await finished.until(bool)
    # Whatever else was to come has come once messages sent later are handled.
    await client.cast(world.do.at("h1"), Ask(number=2))
    await finished.until(lambda numbers: 2 in numbers)
    return started, finished


async def test_a_redelivery_while_the_first_handler_runs_is_not_handled_again(world: World) -> None:
    once = Deduplicate([world.do])

    started, finished = await repeated_by_a_lost_connection(world, once, failures=0)

    assert (started.numbers, finished.numbers) == ([1, 2], [1, 2])
    assert once.repeats == 1


async def test_a_redelivery_of_what_failed_is_handled_once(world: World) -> None:
    once = Deduplicate()

    started, finished = await repeated_by_a_lost_connection(world, once, failures=1)
    await until(lambda: once.repeats == 1)  # the retry of the first, after the redelivery has succeeded

    assert (started.numbers, finished.numbers) == ([1, 1, 2], [1, 2])


async def test_the_same_message_published_twice_is_handled_once_and_leaves_the_queue(world: World) -> None:
    log = Log()
    server = await world.serve(do=log, hooks=[Deduplicate()])
    transport = await world.connect()
    body = (
        b'{"oslo.version": "2.0", "oslo.message": '
        b'"{\\"method\\": \\"do_it\\", \\"args\\": {\\"number\\": 1}, \\"_unique_id\\": \\"5\\"}"}'
    )

    for _ in range(3):
        message = Message(content=body, headers={}, assurance=Assurance.CONFIRMED)
        await transport.publish(destination(world.topic), message)
    await until(lambda: server.counts["handled"] == 3)
    await server.close()
    after = Log()
    await world.serve(do=after)
    await (await world.bus()).cast(world.do, Ask(number=2))

    assert await after.until(bool) == [2]
    assert log.numbers == [1]


async def test_messages_of_different_clients_are_no_repeats_of_each_other(world: World) -> None:
    log = Log()
    await world.serve(do=log, hooks=[Deduplicate()])
    clients = [await world.bus() for _ in range(4)]

    for client in clients:
        for number in range(10):
            await client.cast(world.do, Ask(number=number))

    assert sorted(await log.until(lambda numbers: len(numbers) == 40)) == sorted([*range(10)] * 4)


async def test_a_cast_that_fails_is_retried_until_it_succeeds(world: World) -> None:
    log, once = Log(), Deduplicate()

    async def fail_twice(ask: Ask) -> None:
        await log.note(ask.number)
        if len(log.numbers) < 3:
            raise RuntimeError("not yet")

    server = await world.serve(do=fail_twice, hooks=[once])
    await (await world.bus()).cast(world.do, Ask(number=1))

    assert await log.until(lambda numbers: len(numbers) == 3) == [1, 1, 1]
    assert (server.counts["retried"], server.counts["dead"], once.repeats) == (2, 0, 0)


async def test_a_call_that_is_asked_again_gets_its_answer(world: World) -> None:
    asked, release = Log(), asyncio.Event()

    async def answer(ask: Ask) -> Answer:
        await asked.note(ask.number)
        await release.wait()
        return Answer(number=ask.number + 1)

    await world.serve(add=answer, hooks=[Deduplicate()])
    client = await world.bus()
    call = asyncio.create_task(client.call(world.add, Ask(number=1)))
    await asked.until(bool)
    await world.place.sever()
    release.set()

    assert (await call).number == 2


async def test_processes_that_share_a_store_share_what_was_handled(world: World) -> None:
    seen, first, second = RecentIds(), Log(), Log()
    settings = replace(world.settings, drain_timeout=0.05)
    release = asyncio.Event()

    async def hang_after_the_work(envelope: Envelope, forward: Forward) -> None:
        await forward(envelope)
        await release.wait()

    server = await world.serve(
        do=first, host="h1", hooks=[hang_after_the_work, Deduplicate(seen=seen)], settings=settings
    )
    client = await world.bus()
    await client.cast(world.do.at("h1"), Ask(number=1))
    await first.until(bool)
    await server.close()  # its work is done and its message not acknowledged
    await world.serve(do=second, host="h1", hooks=[Deduplicate(seen=seen)])
    await client.cast(world.do.at("h1"), Ask(number=2))

    assert await second.until(bool) == [2]
