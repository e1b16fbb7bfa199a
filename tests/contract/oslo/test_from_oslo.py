"""An unmodified oslo.messaging client calls novaflow's servers."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from novaflow.errors import NotFound
from novaflow.models import Context
from rpc.bus import Bus
from rpc.procedure import Call
from tests.support.bus import Answer, Ask, Log, RabbitPlace, World, add_one
from tests.support.oslo import AGREEMENTS, OsloClient, configuration, oslo_client
from tests.support.rabbitmq import RabbitMQ

HOST = "node-1"


class Exploded(Exception):
    """An error that no client can know."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A request that says in whose name it is made."""

    context: Context
    number: int


async def serve(world: World, **handlers: object) -> Bus:
    """A server that is at version 1.3 of its topic, on a host."""
    world.add = replace(world.add, version="1.3")
    return await world.serve(host=HOST, **handlers)  # type: ignore[arg-type]


async def test_a_call_to_the_topic_and_to_one_host_brings_back_the_result(world: World, oslo: OsloClient) -> None:
    await serve(world, add=add_one)

    anywhere = await oslo.call(world.topic, "add_one", args={"number": 41, "text": "grüße ☂"})
    there = await oslo.call(world.topic, "add_one", args={"number": 42}, target={"server": HOST})

    assert anywhere == {"result": {"number": 42, "text": "grüße ☂"}}
    assert there == {"result": {"number": 43, "text": ""}}


async def test_a_cast_arrives_by_topic_and_by_host(world: World, oslo: OsloClient) -> None:
    log = Log()
    await serve(world, do=log)

    assert await oslo.cast(world.topic, "do_it", args={"number": 1}) == {"result": None}
    assert await oslo.cast(world.topic, "do_it", args={"number": 2}, target={"server": HOST}) == {"result": None}

    assert sorted(await log.until(lambda numbers: len(numbers) == 2)) == [1, 2]


async def test_a_fanout_reaches_every_server(world: World, oslo: OsloClient) -> None:
    logs = [Log(), Log()]
    for log in logs:
        await world.serve(hear=log)

    await oslo.cast(world.topic, "hear_this", args={"number": 7}, target={"fanout": True})

    for log in logs:
        assert await log.until(bool) == [7]


async def test_an_error_of_an_allowed_module_is_rebuilt_as_its_class(world: World, oslo: OsloClient) -> None:
    async def refuse(ask: Ask) -> Answer:
        raise NotFound(kind="Instance", key="i-1")

    await serve(world, add=refuse)

    error = (await oslo.call(world.topic, "add_one", args={"number": 1}))["error"]

    assert error["class"] == "NotFound_Remote"
    assert "NovaflowError" in error["bases"]
    assert error["text"].strip() == "Instance i-1 could not be found."


async def test_any_other_error_is_a_remote_error_with_type_and_text(world: World, oslo: OsloClient) -> None:
    async def explode(ask: Ask) -> Answer:
        raise Exploded("too hot")

    await serve(world, add=explode)

    error = (await oslo.call(world.topic, "add_one", args={"number": 1}))["error"]

    assert (error["class"], error["exc_type"], error["value"]) == ("RemoteError", "Exploded", "too hot")


async def test_an_unknown_method_is_an_error_and_no_timeout(world: World, oslo: OsloClient) -> None:
    await serve(world, add=add_one)

    error = (await oslo.call(world.topic, "subtract_one", args={"number": 1}))["error"]

    assert (error["class"], error["exc_type"]) == ("RemoteError", "NoSuchMethod")
    assert "subtract_one" in error["value"]


@pytest.mark.parametrize("version", ["1.4", "2.0", "0.9"])
async def test_a_version_that_is_not_served_is_an_error_that_names_it(
    world: World, oslo: OsloClient, version: str
) -> None:
    await serve(world, add=add_one)

    error = (await oslo.call(world.topic, "add_one", args={"number": 1}, version=version))["error"]

    assert (error["class"], error["exc_type"]) == ("RemoteError", "UnsupportedVersion")
    assert version in error["value"]


async def test_every_minor_version_up_to_the_servers_is_served(world: World, oslo: OsloClient) -> None:
    await serve(world, add=add_one)

    for version in ("1.0", "1.2", "1.3"):
        assert "result" in await oslo.call(world.topic, "add_one", args={"number": 1}, version=version)


async def test_a_namespace_that_is_not_served_is_an_error_and_no_timeout(world: World, oslo: OsloClient) -> None:
    await serve(world, add=add_one)

    error = (await oslo.call(world.topic, "add_one", args={"number": 1}, target={"namespace": "compute_task"}))["error"]

    assert (error["class"], error["exc_type"]) == ("RemoteError", "UnsupportedVersion")
    assert "compute_task" in error["value"]


@pytest.mark.parametrize(("args", "named"), [({"number": "x"}, "number"), ({}, "number"), ({"number": 1, "y": 2}, "y")])
async def test_arguments_that_do_not_fit_are_an_error_that_names_them(
    world: World, oslo: OsloClient, args: dict[str, object], named: str
) -> None:
    await serve(world, add=add_one)

    error = (await oslo.call(world.topic, "add_one", args=args))["error"]

    assert error["class"] == "RemoteError"
    assert named in error["value"]


async def whoami(ask: Signed) -> Answer:
    assert ask.context.roles == ("member",)
    return Answer(number=ask.number, text=f"{ask.context.user_id} {ask.context.request_id}")


async def test_the_callers_context_reaches_the_handler_that_asks_for_it(world: World, oslo: OsloClient) -> None:
    bus = await world.bus()
    bus.on_call(Call(topic=world.topic, method="whoami", request=Signed, reply=Answer), whoami)
    await bus.serve(world.topic)
    # Keys of Nova's RequestContext; the handler has no use for the last two.
    context = {"request_id": "req-1", "user_id": "zoë", "project_id": "p", "roles": ["member"], "read_deleted": "no"}

    signed = await oslo.call(world.topic, "whoami", args={"number": 1}, context={**context, "service_catalog": []})
    unsigned = await oslo.call(world.topic, "whoami", args={"number": 1})

    assert signed == {"result": {"number": 1, "text": "zoë req-1"}}
    assert unsigned["error"]["class"] == "RemoteError"
    assert "context" in unsigned["error"]["value"]


async def test_a_context_that_no_handler_asks_for_is_ignored(world: World, oslo: OsloClient) -> None:
    await serve(world, add=add_one)

    answer = await oslo.call(world.topic, "add_one", args={"number": 1}, context={"user_id": None, "odd": {"a": [1]}})

    assert answer == {"result": {"number": 2, "text": ""}}


async def test_a_late_answer_is_a_timeout_and_does_not_disturb_the_next_call(world: World, oslo: OsloClient) -> None:
    may_answer = asyncio.Event()

    async def dawdle(ask: Ask) -> Answer:
        if ask.number == 1:
            await may_answer.wait()
        return Answer(number=ask.number)

    await serve(world, add=dawdle)

    late = await oslo.call(world.topic, "add_one", args={"number": 1}, options={"timeout": 1})
    may_answer.set()
    prompt = await oslo.call(world.topic, "add_one", args={"number": 2})

    assert late["error"]["class"] == "MessagingTimeout"
    assert prompt == {"result": {"number": 2, "text": ""}}


async def test_a_watched_call_hears_that_its_handler_lives(world: World, oslo: OsloClient) -> None:
    async def dawdle(ask: Ask) -> Answer:
        await asyncio.sleep(4)  # what the client watches for is real time
        return Answer(number=ask.number)

    await serve(world, add=dawdle)

    watched = await oslo.call(
        world.topic, "add_one", args={"number": 1}, options={"timeout": 20, "call_monitor_timeout": 2}
    )

    assert watched == {"result": {"number": 1, "text": ""}}


async def test_a_watched_call_whose_server_died_fails_long_before_its_timeout(world: World, oslo: OsloClient) -> None:
    taken = asyncio.Event()

    async def hang(ask: Ask) -> Answer:
        taken.set()
        await asyncio.Event().wait()
        raise AssertionError

    # Nothing but the transport ends here, as when a process dies: its handler goes on, unheard.
    transport = await world.connect()
    bus = await world.bus(transport, settings=replace(world.settings, drain_timeout=0.1))
    bus.on_call(world.add, hang)
    await bus.serve(world.topic)

    began = time.monotonic()
    calling = asyncio.create_task(
        oslo.call(world.topic, "add_one", args={"number": 1}, options={"timeout": 60, "call_monitor_timeout": 2})
    )
    await taken.wait()
    await transport.close()
    error = (await calling)["error"]

    assert error["class"] == "MessagingTimeout"
    assert time.monotonic() - began < 30


async def test_the_options_oslo_messaging_starts_with_clash_with_durable_queues_loudly(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    durable = AGREEMENTS["durable"]
    world = World(RabbitPlace(rabbitmq), durable.settings)
    await world.serve(add=add_one)

    with oslo_client(tmp_path, configuration(rabbitmq.url, durable.exchange, {})) as oslo:
        error = (await oslo.call(world.topic, "add_one", args={"number": 1}))["error"]
    await world.close()

    assert error["class"] == "MessageDeliveryFailure"
    assert "inequivalent arg 'durable' for exchange" in error["text"]
