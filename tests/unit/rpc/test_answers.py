import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from rpc.answers import Answers, described
from rpc.envelope import Failure, Request
from rpc.errors import BadMessage, NoSuchMethod, UnsupportedVersion
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.settings import BusSettings
from rpc.transport import Delivery, reply_queue

DISPATCHER = "oslo_messaging.rpc.dispatcher"


class Caller:
    """A client of any kind: a reply queue and what comes into it."""

    def __init__(self, settings: BusSettings) -> None:
        broker = MemoryBroker()
        self.transport = MemoryTransport(broker, settings)
        self.answers = Answers(MemoryTransport(broker, settings), settings)
        self.came: asyncio.Queue[Delivery] = asyncio.Queue()

    async def listen(self) -> None:
        await self.transport.consume([reply_queue("reply_1")], self.came.put_nowait)

    async def next(self) -> dict[str, Any]:
        """The next message, as its bytes would say it."""
        delivery = await asyncio.wait_for(self.came.get(), 10.0)
        inner: dict[str, Any] = json.loads(json.loads(delivery.body)["oslo.message"])
        return inner


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    caller = Caller(BusSettings(max_message_bytes=5000))
    await caller.listen()
    yield caller
    await caller.transport.close()


def asked(monitor: float | msgspec.UnsetType | None = None) -> Request:
    return Request(
        method="do", args=msgspec.Raw(b"{}"), unique_id="u", msg_id="m1", reply_to="reply_1", monitor=monitor
    )


async def test_a_client_of_our_time_gets_one_message(caller: Caller) -> None:
    await caller.answers.send(asked(), None, {"number": 1}, None)

    answer = await caller.next()
    assert caller.came.empty()
    unique_id = answer.pop("_unique_id")
    assert answer == {"_msg_id": "m1", "result": {"number": 1}, "failure": None, "ending": True}
    assert len(unique_id) == 32


async def test_a_client_from_before_2018_gets_the_answer_and_then_its_end(caller: Caller) -> None:
    await caller.answers.send(asked(msgspec.UNSET), None, {"number": 1}, None)

    answer, end = await caller.next(), await caller.next()
    assert caller.came.empty()
    assert (answer["_msg_id"], answer["result"], answer["failure"]) == ("m1", {"number": 1}, None)
    assert "ending" not in answer
    assert (end["_msg_id"], end["result"], end["failure"], end["ending"]) == ("m1", None, None, True)
    assert answer["_unique_id"] != end["_unique_id"]


@pytest.mark.parametrize("monitor", [None, msgspec.UNSET], ids=["now", "before 2018"])
async def test_a_failure_crosses_as_oslo_messagings_text(caller: Caller, monitor: msgspec.UnsetType | None) -> None:
    failure = Failure(type_name="NotFound", module="novaflow.errors", message="gone", code="not_found")

    await caller.answers.send(asked(monitor), None, None, failure)

    answer = await caller.next()
    assert answer["result"] is None
    assert json.loads(answer["failure"]) == {
        "class": "NotFound",
        "message": "gone",
        "module": "novaflow.errors",
        "code": "not_found",
        "kwargs": {},
        "tb": [],
        "args": [],
    }


@pytest.mark.parametrize(
    ("fault", "args"),
    [
        (NoSuchMethod("no method 'do'"), ["do"]),
        (UnsupportedVersion("1.0 is asked for"), ["1.0", "do"]),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_question_that_is_not_served_is_told_as_oslo_messaging_tells_it(
    caller: Caller, fault: BadMessage, args: list[str]
) -> None:
    await caller.answers.refuse(asked(), None, fault)

    failure = json.loads((await caller.next())["failure"])
    assert (failure["class"], failure["module"], failure["args"]) == (type(fault).__name__, DISPATCHER, args)


async def test_any_other_fault_of_a_question_is_our_own(caller: Caller) -> None:
    await caller.answers.refuse(asked(), None, BadMessage("args: no"))

    failure = json.loads((await caller.next())["failure"])
    assert (failure["class"], failure["module"], failure["message"]) == ("BadMessage", "rpc.errors", "args: no")


async def test_an_answer_that_cannot_travel_is_refused_here(caller: Caller) -> None:
    with pytest.raises(TypeError):
        await caller.answers.send(asked(), None, object(), None)
    with pytest.raises(BadMessage, match="the limit is 5000"):
        await caller.answers.send(asked(), None, "x" * 5000, None)
    with pytest.raises(BadMessage, match="the limit is 5000"):
        await caller.answers.send(asked(), None, None, Failure(type_name="X", message="\x00" * 1000))
    for missing in ({"msg_id": None}, {"reply_to": None}):
        with pytest.raises(TypeError, match="do is no call"):
            await caller.answers.send(msgspec.structs.replace(asked(), **missing), None, 1, None)
    assert caller.came.empty()


async def test_a_caller_is_told_that_its_answer_could_not_be_sent(caller: Caller) -> None:
    await caller.answers.fail(asked(), None, Failure(type_name="BadMessage", message="too large"))

    assert json.loads((await caller.next())["failure"])["message"] == "too large"


async def test_a_reason_that_does_not_fit_either_is_logged(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    await caller.answers.fail(asked(), None, Failure(type_name="X", message="\x00" * 1000))

    assert caller.came.empty()
    assert "the answer to do cannot be sent, nor why: message of" in caplog.text


async def test_an_answer_waits_no_longer_than_its_caller() -> None:
    waiting = Caller(BusSettings())
    subscription = await waiting.transport.consume([reply_queue("reply_1")], waiting.came.put_nowait)
    await subscription.cancel()

    await waiting.answers.send(asked(), time.time() - 5.0, "late", None)
    await waiting.answers.send(asked(), time.time() + 60.0, "in time", None)
    await asyncio.sleep(0.01)
    await waiting.listen()

    assert (await waiting.next())["result"] == "in time"


async def test_a_caller_that_monitors_its_call_hears_that_it_is_worked_on(caller: Caller) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with caller.answers.signs_of_life(asked(2.0)):
        alive = await caller.next()
        waited = loop.time() - began
    await caller.answers.send(asked(2.0), None, 1, None)
    answer = await caller.next()

    assert waited >= 1.0
    assert (alive["_msg_id"], alive["ending"], alive["failure"]) == ("m1", False, None)
    assert answer["ending"] is True
    assert alive["_unique_id"] != answer["_unique_id"]
    assert caller.came.empty()


@pytest.mark.parametrize("monitor", [None, msgspec.UNSET, 0.0, 1.9, -5.0, float("inf")], ids=str)
async def test_other_callers_are_told_nothing_meanwhile(
    caller: Caller, monitor: float | msgspec.UnsetType | None
) -> None:
    before = asyncio.all_tasks()

    async with caller.answers.signs_of_life(asked(monitor)):
        assert asyncio.all_tasks() == before


async def test_signs_of_life_end_with_the_work_however_it_ends(caller: Caller) -> None:
    before = asyncio.all_tasks()

    async def fail() -> None:
        async with caller.answers.signs_of_life(asked(60.0)):
            assert asyncio.all_tasks() > before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert asyncio.all_tasks() == before


async def test_a_caller_that_cannot_be_told_does_not_end_the_work() -> None:
    caller = Caller(BusSettings())
    beating = Answers(caller.transport, BusSettings())
    await caller.transport.close()

    async with beating.signs_of_life(asked(2.0)):
        (beats,) = [task for task in asyncio.all_tasks() if task.get_name().startswith("signs of life")]
        await asyncio.sleep(1.1)
        assert not beats.done()


def test_an_error_is_described_as_oslo_messaging_makes_it_again() -> None:
    plain = described(ValueError("no \udcff"))
    expected = described(KeyError("k"), "not_found", {"key": "k"})

    assert (plain.type_name, plain.module, plain.message, plain.args) == ("ValueError", "builtins", "no ?", ["no ?"])
    assert (expected.code, expected.kwargs, expected.args) == ("not_found", {"key": "k"}, [])
