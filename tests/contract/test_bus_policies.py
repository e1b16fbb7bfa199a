"""What one procedure may have otherwise than its bus: memory and RabbitMQ alike."""

import asyncio
from dataclasses import replace

import pytest

from rpc.envelope import REASON, TRACEPARENT
from rpc.settings import ProcedureSettings
from rpc.transport import Assurance, Message, destination
from tests.support.bus import Ask, Crowd, Log, Work, World, add_one, until

ICEHOUSE = ProcedureSettings(delivery="icehouse")
DURABLE = ProcedureSettings(delivery="durable")


async def test_a_forgetful_procedure_on_a_durable_bus_is_gone_with_the_connection(world: World) -> None:
    world.do = replace(world.do, settings=ICEHOUSE)
    work = Work()
    await world.serve(do=work)
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await work.started.until(bool)

    await world.place.sever()
    # An answered call proves that the connections are back and whatever would be redelivered was.
    await world.serve(add=add_one, do=work, host="other")
    await client.call(world.add.at("other"), Ask(number=0))
    await client.cast(world.do, Ask(number=2))
    work.release.set()

    assert await work.started.until(lambda numbers: 2 in numbers) == [1, 2]


@pytest.mark.parametrize("said", [True, False], ids=["the user says", "the author says"])
async def test_a_durable_procedure_on_a_forgetful_bus_comes_again(world: World, said: bool) -> None:
    world.settings = replace(world.settings, delivery="icehouse", queues="", exchange="nova-icehouse")
    if said:
        world.settings = replace(world.settings, procedures={world.do.name: DURABLE})
    else:
        world.do = replace(world.do, settings=DURABLE)
    work = Work()
    server = await world.serve(do=work)
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await work.started.until(bool)

    await world.place.sever()
    await work.started.until(lambda numbers: len(numbers) == 2)
    work.release.set()

    assert work.started.numbers == [1, 1]
    assert server.counts["redelivered"] == 1


async def test_a_procedures_own_budget_of_retries_holds(world: World) -> None:
    world.settings = replace(world.settings, procedures={world.do.name: ProcedureSettings(retries=0)})
    log = Log()

    async def fail(ask: Ask) -> None:
        await log.note(ask.number)
        raise RuntimeError("no")

    await world.serve(do=fail)
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))

    assert "failed 1 times" in str((await world.next_dead_letter()).headers[REASON])
    assert log.numbers == [1]


@pytest.mark.parametrize("delivery", ["durable", "icehouse"])
async def test_no_more_handlers_of_a_procedure_run_than_it_allows(world: World, delivery: str) -> None:
    world.do = replace(world.do, settings=ProcedureSettings(concurrency=2, delivery=delivery))
    crowd = Crowd()
    await world.serve(do=crowd, add=add_one)
    client = await world.bus()
    await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(12)))
    assert (await client.call(world.add, Ask(number=1))).number == 2

    assert sorted(await crowd.done.until(lambda numbers: len(numbers) == 12)) == list(range(12))
    assert crowd.most == 2


@pytest.mark.parametrize(
    "settings", [ICEHOUSE, replace(ICEHOUSE, concurrency=1), DURABLE], ids=["icehouse", "one", "durable"]
)
async def test_a_cancelled_handler_does_not_cost_the_connection_that_others_use(
    world: World, settings: ProcedureSettings
) -> None:
    world.do = replace(world.do, settings=settings)
    work = Work()
    shared = await world.connect()
    server = await world.bus(shared, settings=replace(world.settings, drain_timeout=0.05))
    other = await world.bus(shared)
    server.on_cast(world.do, work)
    other.on_call(replace(world.add, topic=f"{world.topic}-other"), add_one)
    await server.serve(world.topic)
    await other.serve(f"{world.topic}-other")
    client = await world.bus()
    for number in range(3):
        await client.cast(world.do, Ask(number=number))
    await work.started.until(bool)

    await server.close()
    for _ in range(3):
        await client.call(replace(world.add, topic=f"{world.topic}-other"), Ask(number=1))

    assert shared.reconnects == 0
    assert shared.is_connected


async def test_a_header_that_only_just_fits_a_frame_is_not_buried_beside_the_reason(world: World) -> None:
    transport = await world.connect()
    server = await world.bus(transport)
    log = Log()
    server.on_cast(world.do, log)
    await server.serve(world.topic)
    body = b'{"oslo.version": "2.0", "oslo.message": "{\\"method\\": \\"' + b"x" * 2000 + b'\\", \\"args\\": {}}"}'

    sender = await world.connect()
    long = Message(content=body, headers={TRACEPARENT: "0" * 130_900}, assurance=Assurance.CONFIRMED)
    await sender.publish(destination(world.topic), long)
    letter = await world.next_dead_letter()
    await (await world.bus()).cast(world.do, Ask(number=1))

    assert "no method 'x" in str(letter.headers[REASON])
    assert letter.body == body
    assert await log.until(bool) == [1]
    assert server.counts["dead"] == 1
    await until(lambda: transport.is_connected)
    assert transport.reconnects == 0
