"""What every transport does for calls: memory and RabbitMQ alike."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from novaflow.errors import NotFound
from rpc.errors import BadMessage, CallTimeout, RemoteFailure
from rpc.procedure import Call
from tests.support.bus import PATIENCE, Answer, Ask, Log, World, add_one


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


async def test_a_procedure_has_one_handler(world: World) -> None:
    server = await world.serve(add=add_one)

    with pytest.raises(ValueError, match="has a handler already"):
        server.on_call(world.add, add_one)
