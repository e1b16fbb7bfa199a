"""Whatever answers a call, the caller lives on: the call fails and says why, and nothing that arrived was imported or run."""

import asyncio
import json
import pickle
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from novaflow.errors import NotFound
from rpc.bus import Bus, BusSettings
from rpc.errors import BadMessage, CallTimeout, RemoteFailure
from rpc.transport import Delivery, Message, Transport, destination, reply_queue
from tests.support.bus import Ask, Place, World, add_one, until

Forge = Callable[[dict[str, Any]], bytes]


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    world = World(place, BusSettings(drain_timeout=5.0, max_message_bytes=300_000))
    yield world
    await world.close()


class Impostor:
    """A server that answers every call of the topic with bytes of its choice."""

    def __init__(self, transport: Transport, forge: Forge) -> None:
        self._transport = transport
        self._forge = forge
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def serve(cls, world: World, forge: Forge) -> None:
        transport = await world.connect()
        await transport.consume([destination(world.topic)], cls(transport, forge)._receive)

    def _receive(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._answer(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, delivery: Delivery) -> None:
        asked = json.loads(json.loads(delivery.body)["oslo.message"])
        message = Message(content=self._forge(asked), headers={})
        await self._transport.publish(reply_queue(asked["_reply_q"]), message)
        delivery.ack()


def enveloped(inner: object) -> bytes:
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode()


def replying(**reply: object) -> Forge:
    return lambda asked: enveloped({"_msg_id": asked["_msg_id"], "_unique_id": "u", "ending": True, **reply})


async def still_works(world: World, bus: Bus) -> bool:
    """Can this caller still ask an honest server?"""
    honest = World(world.place, world.settings)
    server = await honest.serve(add=add_one)
    answer = await bus.call(honest.add, Ask(number=1))
    await server.close()
    await honest.close()
    return answer.number == 2


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda asked: b"", id="nothing"),
        pytest.param(lambda asked: b"\xff\x00", id="bytes"),
        pytest.param(lambda asked: b'{"oslo.version": "2.0", "oslo.message": "\xff"}', id="no UTF-8"),
        pytest.param(lambda asked: pickle.dumps({"result": 1}), id="a pickle"),
        pytest.param(lambda asked: b"[" * 100_000, id="deep outside"),
        pytest.param(lambda asked: enveloped(5), id="no object"),
        pytest.param(lambda asked: enveloped({"result": {"number": 2}}), id="no message id"),
        pytest.param(lambda asked: enveloped({"_msg_id": "another's", "result": {"number": 2}}), id="another's"),
        pytest.param(replying(failure={"class": "X"}), id="failure an object"),
        pytest.param(replying(result="x" * 300_000), id="too large"),
        pytest.param(
            lambda asked: enveloped({"_msg_id": asked["_msg_id"]})[:-3] + b"," + b"[" * 50_000 + b'}"}',
            id="deep inside",
        ),
    ],
)
async def test_an_answer_that_cannot_be_read_answers_nothing(world: World, forge: Forge) -> None:
    await Impostor.serve(world, forge)
    transport = await world.connect()
    client = await world.bus(transport)

    with pytest.raises(CallTimeout):
        await client.call(world.add, Ask(number=1), timeout=0.5)

    await until(lambda: transport.replies.stray > 0)
    assert await still_works(world, client)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(replying(result=None), id="null"),
        pytest.param(replying(result=[1]), id="array"),
        pytest.param(replying(result={"number": "2"}), id="another type"),
        pytest.param(replying(), id="no result"),
        pytest.param(replying(failure=""), id="an empty failure"),
        pytest.param(replying(failure="no JSON"), id="a failure that is no JSON"),
        pytest.param(replying(failure="[" * 50_000), id="a deep failure"),
        pytest.param(replying(failure="{}"), id="a failure without a class"),
        pytest.param(replying(failure='{"class": 5}'), id="a failure of a number"),
    ],
)
async def test_an_answer_of_another_shape_is_a_bad_message(world: World, forge: Forge) -> None:
    await Impostor.serve(world, forge)
    client = await world.bus()

    with pytest.raises(BadMessage):
        await client.call(world.add, Ask(number=1))

    assert await still_works(world, client)


async def test_a_failure_that_names_a_function_calls_nothing(world: World, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    failure = {"class": "system", "module": "os", "message": "m", "args": [f"touch {trace}"], "kwargs": {}, "tb": []}
    await Impostor.serve(world, replying(failure=json.dumps(failure)))
    client = await world.bus()

    with pytest.raises(RemoteFailure, match="system: m"):
        await client.call(world.add, Ask(number=1))

    assert not trace.exists()


async def test_a_failure_that_names_a_module_imports_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_trap.py").write_text("class Trap(Exception):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    failure = {"class": "Trap", "module": "a_trap", "message": "m", "args": [], "kwargs": {}, "tb": []}
    await Impostor.serve(world, replying(failure=json.dumps(failure)))
    client = await world.bus()

    with pytest.raises(RemoteFailure, match="Trap: m"):
        await client.call(world.add, Ask(number=1))

    assert "a_trap" not in sys.modules


@pytest.mark.parametrize(
    ("code", "kwargs"),
    [
        ("os.system", {"command": "true"}),
        ("__init__", {}),
        ("not_found", {"kind": "Instance"}),
        ("not_found", {"kind": "Instance", "key": "x", "__class__": "os.system"}),
        ("not_found", {"self": 1}),
        ("x" * 10_000, {}),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_an_error_code_that_is_unknown_or_does_not_fit_is_a_remote_failure(
    world: World, code: str, kwargs: dict[str, object]
) -> None:
    failure = {"class": "X", "module": "m", "message": "why", "code": code, "kwargs": kwargs}
    await Impostor.serve(world, replying(failure=json.dumps(failure)))
    client = await world.bus()

    with pytest.raises(RemoteFailure, match="X: why"):
        await client.call(world.add, Ask(number=1))


@pytest.mark.parametrize("kind", [5, None, ["a"], {"b": 1}], ids=str)
async def test_an_expected_error_with_fields_of_other_types_is_still_an_error_that_can_be_told(
    world: World, kind: object
) -> None:
    failure = {"class": "NotFound", "message": "m", "code": "not_found", "kwargs": {"kind": kind, "key": "x"}}
    await Impostor.serve(world, replying(failure=json.dumps(failure)))
    client = await world.bus()

    with pytest.raises((NotFound, RemoteFailure)) as raised:
        await client.call(world.add, Ask(number=1))

    assert str(raised.value)


async def test_a_second_answer_disturbs_nobody(world: World) -> None:
    client = await world.bus()
    transport = await world.connect()
    answers = 0

    async def twice(delivery: Delivery) -> None:
        nonlocal answers
        asked = json.loads(json.loads(delivery.body)["oslo.message"])
        for number in (2, 3):
            reply = enveloped({"_msg_id": asked["_msg_id"], "result": {"number": number}, "ending": True})
            await transport.publish(reply_queue(asked["_reply_q"]), Message(content=reply, headers={}))
        delivery.ack()
        answers += 1

    tasks: set[asyncio.Task[None]] = set()
    await transport.consume(
        [destination(world.topic)], lambda delivery: tasks.add(asyncio.create_task(twice(delivery)))
    )

    assert (await client.call(world.add, Ask(number=1))).number == 2
    assert await still_works(world, client)
    assert answers == 1
    await asyncio.wait(tasks)
