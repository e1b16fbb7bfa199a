"""What every transport does for a bus in durable delivery: memory and RabbitMQ alike."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import pytest

from novaflow.errors import NotFound
from rpc.bus import BusSettings
from rpc.envelope import ORIGIN, REASON, Envelope, Stage
from rpc.errors import Away, BadMessage, CallTimeout, NotConnected, RemoteFailure, Unroutable
from rpc.hooks import Forward
from rpc.procedure import Call, Cast
from tests.support.bus import PATIENCE, PLACES, Answer, Ask, Log, Place, World, add_one, until
from tests.support.bus import place as place_of


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return place_of(request.param, request.getfixturevalue)


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    world = World(place, BusSettings(retries=2, retry_delay=0.02, drain_timeout=5.0))
    yield world
    await world.close()


async def test_a_call_brings_back_what_the_handler_answers(world: World) -> None:
    await world.serve(add=add_one)
    client = await world.bus()

    answer = await client.call(world.add, Ask(number=1, text="grüße ☂"))

    assert answer == Answer(number=2, text="grüße ☂")


async def test_concurrent_calls_get_each_its_own_answer(world: World) -> None:
    await world.serve(add=add_one)
    transport = await world.connect()
    clients = [await world.bus(transport) for _ in range(3)]

    answers = await asyncio.gather(*(client.call(world.add, Ask(number=n)) for n in range(100) for client in clients))

    assert [answer.number for answer in answers] == [n + 1 for n in range(100) for _ in clients]


async def test_an_expected_error_is_raised_at_the_caller_with_its_fields(world: World) -> None:
    async def refuse(ask: Ask) -> Answer:
        raise NotFound(kind="Instance", key=str(ask.number))

    await world.serve(add=refuse)
    client = await world.bus()

    with pytest.raises(NotFound, match="Instance 7 could not be found"):
        await client.call(world.add, Ask(number=7))


async def test_an_unexpected_error_is_a_remote_failure_with_type_and_text(world: World) -> None:
    async def fail(ask: Ask) -> Answer:
        raise ZeroDivisionError(f"by {ask.number} \udcff")

    await world.serve(add=fail)
    client = await world.bus()

    with pytest.raises(RemoteFailure, match="ZeroDivisionError: by 0"):
        await client.call(world.add, Ask(number=0))


async def test_an_answer_that_is_no_json_or_too_large_is_a_remote_failure(world: World) -> None:
    async def answer(ask: Ask) -> Answer:
        return Answer(number=1, text="x" * ask.number) if ask.number else object()  # type: ignore[return-value]

    settings = replace(world.settings, max_message_bytes=10_000)
    await world.serve(add=answer, settings=settings)
    client = await world.bus(settings=settings)

    with pytest.raises(RemoteFailure, match="object"):
        await client.call(world.add, Ask(number=0))
    with pytest.raises(BadMessage, match="the limit is 10000"):
        await client.call(world.add, Ask(number=20_000))


async def test_a_call_without_an_answer_ends_at_its_deadline(world: World) -> None:
    blocked = asyncio.Event()

    async def never(ask: Ask) -> Answer:
        await blocked.wait()
        return Answer(number=0)

    await world.serve(add=never)
    client = await world.bus()

    with pytest.raises(CallTimeout, match=r"add_one .* within 0\.2 s"):
        await client.call(world.add, Ask(number=1), timeout=0.2)
    blocked.set()


async def test_a_call_that_waited_past_its_deadline_is_never_run(world: World) -> None:
    blocked, ran = asyncio.Event(), Log()

    async def slow(ask: Ask) -> Answer:
        await ran.note(ask.number)
        await blocked.wait()
        return Answer(number=ask.number)

    await world.serve(add=slow, settings=replace(world.settings, prefetch=1))
    client = await world.bus()
    first = asyncio.create_task(client.call(world.add, Ask(number=1)))
    await ran.until(lambda numbers: numbers == [1])

    with pytest.raises(CallTimeout):
        await client.call(world.add, Ask(number=2), timeout=0.2)
    third = asyncio.create_task(client.call(world.add, Ask(number=3)))
    blocked.set()

    assert (await first).number == 1
    assert (await third).number == 3
    assert ran.numbers == [1, 3]


async def test_a_message_for_a_host_reaches_that_host_alone(world: World) -> None:
    one, two = Log(), Log()
    await world.serve(do=one, host="one")
    await world.serve(do=two, host="two.example.org")
    client = await world.bus()

    for n in range(5):
        await client.cast(world.do.at("one"), Ask(number=n))
        await client.cast(world.do.at("two.example.org"), Ask(number=-n))

    assert await one.until(lambda numbers: len(numbers) == 5) == [0, 1, 2, 3, 4]
    assert await two.until(lambda numbers: len(numbers) == 5) == [0, -1, -2, -3, -4]


@pytest.mark.parametrize("host", ["nowhere", "dead", "*", "#", "", "x" * 300])
async def test_a_host_that_never_was_is_unroutable(world: World, host: str) -> None:
    await world.serve(add=add_one, do=Log(), host="here")
    client = await world.bus()

    with pytest.raises(Unroutable):
        await client.cast(world.do.at(host), Ask(number=1))
    with pytest.raises(Unroutable):
        await client.call(world.add.at(host), Ask(number=1))


async def test_a_cast_to_a_topic_nobody_serves_yet_waits_for_its_first_server(world: World) -> None:
    client = await world.bus()
    for n in range(3):
        await client.cast(world.do, Ask(number=n))

    log = Log()
    await world.serve(do=log)

    assert await log.until(lambda numbers: len(numbers) == 3) == [0, 1, 2]


async def test_messages_for_a_host_wait_while_its_worker_is_away(world: World) -> None:
    before, after = Log(), Log()
    worker = await world.serve(do=before, host="h1")
    client = await world.bus()
    await worker.close()

    await client.cast(world.do.at("h1"), Ask(number=1))
    await world.serve(do=after, host="h1")

    assert await after.until(lambda numbers: len(numbers) == 1) == [1]
    assert before.numbers == []


async def test_servers_of_a_topic_share_its_messages(world: World) -> None:
    one, two = Log(), Log()
    await world.serve(do=one)
    await world.serve(do=two)
    client = await world.bus()

    for n in range(20):
        await client.cast(world.do, Ask(number=n))
    await until(lambda: len(one.numbers) + len(two.numbers) == 20)

    assert sorted(one.numbers + two.numbers) == list(range(20))
    assert len(one.numbers) == len(two.numbers) == 10


async def test_a_fanout_reaches_every_server_that_is_there(world: World) -> None:
    client = await world.bus()
    await client.fanout(world.hear, Ask(number=0))
    one, two, gone = Log(), Log(), Log()
    await world.serve(hear=one, host="one")
    await world.serve(hear=two)
    await (await world.serve(hear=gone)).close()

    await client.fanout(world.hear, Ask(number=1))

    assert await one.until(lambda numbers: bool(numbers)) == [1]
    assert await two.until(lambda numbers: bool(numbers)) == [1]
    assert gone.numbers == []


async def test_casts_of_one_sender_arrive_in_order(world: World) -> None:
    log = Log()
    await world.serve(do=log)
    client = await world.bus()

    for n in range(50):
        await client.cast(world.do, Ask(number=n))

    assert await log.until(lambda numbers: len(numbers) == 50) == list(range(50))


async def test_no_more_messages_are_under_way_than_prefetch_allows(world: World) -> None:
    running, most, done = 0, 0, Log()

    async def work(ask: Ask) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        await done.note(ask.number)

    await world.serve(do=work, settings=replace(world.settings, prefetch=4))
    client = await world.bus()
    await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(24)))
    await done.until(lambda numbers: len(numbers) == 24)

    assert most == 4


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


async def test_a_call_that_cannot_be_read_tells_its_caller_why(world: World) -> None:
    await world.serve(add=add_one, do=Log())
    client = await world.bus()
    other = Call(topic=world.topic, method="unheard_of", request=Ask, reply=Answer, timeout=PATIENCE)
    newer = replace(world.add, version="1.1")
    wrong_kind = Call(topic=world.topic, method="do_it", request=Ask, reply=Answer, timeout=PATIENCE)

    for procedure, why in ((other, "no method 'unheard_of'"), (newer, "1.1 is asked"), (wrong_kind, "is a cast")):
        with pytest.raises(BadMessage, match=why):
            await client.call(procedure, Ask(number=1))


async def test_an_answer_of_another_type_is_a_bad_message(world: World) -> None:
    class Other(msgspec.Struct):
        colour: str

    await world.serve(add=add_one)
    client = await world.bus()

    with pytest.raises(BadMessage, match=r"the answer of .*add_one: .*colour"):
        await client.call(
            Call(topic=world.topic, method="add_one", request=Ask, reply=Other, timeout=PATIENCE), Ask(number=1)
        )


async def test_a_message_over_the_limit_is_refused_where_it_is_sent(world: World) -> None:
    client = await world.bus(settings=replace(world.settings, max_message_bytes=1000))

    with pytest.raises(BadMessage, match="the limit is 1000"):
        await client.cast(world.do, Ask(number=1, text="x" * 1000))


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


async def test_a_lost_connection_cancels_no_handler_and_its_message_comes_again(world: World) -> None:
    started, finished = Log(), Log()
    release = asyncio.Event()

    async def work(ask: Ask) -> None:
        await started.note(ask.number)
        await release.wait()
        await finished.note(ask.number)

    server = await world.serve(do=work, host="h1")
    client = await world.bus()
    await client.cast(world.do.at("h1"), Ask(number=1))
    await started.until(lambda numbers: len(numbers) == 1)

    await world.place.sever()
    await started.until(lambda numbers: len(numbers) == 2)
    release.set()

    assert await finished.until(lambda numbers: len(numbers) == 2) == [1, 1]
    assert server.counts["redelivered"] == 1


async def test_after_a_lost_connection_everything_is_as_before(world: World) -> None:
    log, heard = Log(), Log()
    await world.serve(add=add_one, do=log, hear=heard, host="h1")
    client = await world.bus()
    assert (await client.call(world.add, Ask(number=1))).number == 2

    for n in range(2):
        await world.place.sever()
        assert (await client.call(world.add.at("h1"), Ask(number=n))).number == n + 1
        await client.cast(world.do, Ask(number=n))
    await client.fanout(world.hear, Ask(number=7))

    assert await log.until(lambda numbers: len(numbers) >= 2) == [0, 1]
    assert await heard.until(bool) == [7]


async def test_a_call_whose_connection_is_lost_is_asked_again(world: World) -> None:
    asked = Log()
    release = asyncio.Event()

    async def answer(ask: Ask) -> Answer:
        await asked.note(ask.number)
        await release.wait()
        return Answer(number=ask.number + 1)

    await world.serve(add=answer)
    client = await world.bus()
    call = asyncio.create_task(client.call(world.add, Ask(number=1)))
    await asked.until(bool)

    await world.place.sever()
    await until(lambda: client.counts["asked_again"] == 1)
    release.set()

    assert (await call).number == 2


async def test_closing_lets_a_running_handler_finish(world: World) -> None:
    started, finished = Log(), Log()

    async def work(ask: Ask) -> None:
        await started.note(ask.number)
        await asyncio.sleep(0.1)
        await finished.note(ask.number)

    server = await world.serve(do=work)
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await started.until(bool)

    await server.close()
    after = Log()
    await world.serve(do=after)
    await client.cast(world.do, Ask(number=2))

    assert finished.numbers == [1]
    assert await after.until(bool) == [2]


async def test_a_handler_that_outlives_the_drain_is_cancelled_and_its_message_given_back(world: World) -> None:
    started, after = Log(), Log()

    async def hang(ask: Ask) -> None:
        await started.note(ask.number)
        await asyncio.Event().wait()

    server = await world.serve(do=hang, settings=replace(world.settings, drain_timeout=0.05))
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await started.until(bool)

    await server.close()
    await world.serve(do=after)

    assert await after.until(bool) == [1]


async def test_a_closing_server_gives_a_waiting_retry_back_at_once(world: World) -> None:
    failed, after = Log(), Log()

    async def fail(ask: Ask) -> None:
        await failed.note(ask.number)
        raise RuntimeError("no")

    server = await world.serve(do=fail, settings=replace(world.settings, retry_delay=3600.0))
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await failed.until(bool)

    async with asyncio.timeout(PATIENCE):
        await server.close()
    await world.serve(do=after)

    assert await after.until(bool) == [1]


async def test_a_closed_bus_asks_nothing_more(world: World) -> None:
    client = await world.bus()
    await client.close()

    with pytest.raises(NotConnected, match="closed"):
        await client.cast(world.do, Ask(number=1))
    with pytest.raises(NotConnected, match="closed"):
        await client.call(world.add, Ask(number=1))


async def test_hooks_see_every_message_twice_and_may_keep_or_repeat_it(world: World) -> None:
    seen: list[tuple[Stage, str, object]] = []

    async def watch(envelope: Envelope, forward: Forward) -> None:
        seen.append((envelope.stage, f"{envelope.kind} {envelope.method}", envelope.request))
        await forward(envelope)

    async def meddle(envelope: Envelope, forward: Forward) -> None:
        assert isinstance(envelope.request, Ask)
        for _ in range(envelope.request.number):
            await forward(envelope)

    log = Log()
    await world.serve(do=log, hooks=[watch])
    client = await world.bus(hooks=[watch, meddle])

    for number in (0, 2):
        await client.cast(world.do, Ask(number=number))
    assert await log.until(lambda numbers: len(numbers) == 2) == [2, 2]

    assert sorted(seen, key=str) == [
        (Stage.HANDLE, "cast do_it", Ask(number=2)),
        (Stage.HANDLE, "cast do_it", Ask(number=2)),
        (Stage.PUBLISH, "cast do_it", Ask(number=0)),
        (Stage.PUBLISH, "cast do_it", Ask(number=2)),
    ]


async def test_a_call_that_a_hook_keeps_gets_no_answer(world: World) -> None:
    async def keep(envelope: Envelope, forward: Forward) -> None:
        return

    await world.serve(add=add_one, hooks=[keep])
    client = await world.bus()

    with pytest.raises(CallTimeout):
        await client.call(world.add, Ask(number=1), timeout=0.2)


async def test_the_trace_leads_from_the_caller_through_the_handler_to_what_it_orders(world: World) -> None:
    done = Log()
    server = await world.bus(service="server")

    async def relay(ask: Ask) -> Answer:
        await server.cast(world.do.at("h1"), ask)
        return Answer(number=0)

    server.on_call(world.add, relay)
    server.on_cast(world.do, done)
    await server.serve(world.topic, "h1")
    client = await world.bus(service="client")

    await client.call(world.add, Ask(number=1, server_id="s-1"))
    await done.until(bool)
    await until(lambda: len(world.spans.seen) == 4)

    by_name = {(span.kind, span.name): span for span in world.spans.seen}
    call, handled = by_name["publish", f"call {world.add.name}"], by_name["handle", world.add.name]
    cast, obeyed = by_name["publish", f"cast {world.do.name}"], by_name["handle", world.do.name]
    assert [span.parent_id for span in (call, handled, cast, obeyed)] == [
        None,
        call.span_id,
        handled.span_id,
        cast.span_id,
    ]
    assert {span.trace_id for span in world.spans.seen} == {call.trace_id}
    assert {span.attributes["server_id"] for span in world.spans.seen} == {"s-1"}
    assert call.seconds >= handled.seconds
    assert (obeyed.service, obeyed.attributes["target"], obeyed.attributes["host"]) == (
        "server",
        f"{world.topic}.h1",
        "h1",
    )


async def test_a_procedure_has_one_handler(world: World) -> None:
    server = await world.serve(add=add_one)

    with pytest.raises(ValueError, match="has a handler already"):
        server.on_call(world.add, add_one)


async def test_a_cast_of_what_is_a_call_is_dead(world: World) -> None:
    await world.serve(add=add_one)
    client = await world.bus()

    await client.cast(Cast(topic=world.topic, method="add_one", request=Ask), Ask(number=1))

    assert "is a call, not a cast" in str((await world.next_dead_letter()).headers[REASON])
