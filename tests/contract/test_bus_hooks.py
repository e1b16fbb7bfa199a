"""What is put around every message, hooks and traces: memory and RabbitMQ alike."""

import pytest

from rpc.envelope import Envelope, Stage
from rpc.errors import CallTimeout
from rpc.hooks import Forward
from tests.support.bus import Answer, Ask, Log, World, add_one, until


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
