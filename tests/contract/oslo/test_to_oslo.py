"""Novaflow's clients call an unmodified oslo.messaging server."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from novaflow.models import Context
from rpc.errors import BusError, CallTimeout, RemoteFailure, Unroutable
from rpc.procedure import Call, Cast, Fanout
from tests.support.bus import World
from tests.support.oslo import OsloServer, oslo_server

HOST = "node-1"
TOPIC = "oslo-answers"
VERSION = "1.3"  # what the server has


class Say(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    number: int = 0


class SignedSay(Say, frozen=True, kw_only=True):
    context: Context


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float


class Said(msgspec.Struct, frozen=True, kw_only=True):
    server: str
    text: str
    number: int
    context: dict[str, Any]


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Text(msgspec.Struct, frozen=True, kw_only=True):
    text: str


class Topic:
    """The server's procedures on a topic of its own for every way to agree, since their queues differ."""

    def __init__(self, topic: str) -> None:
        self.echo = Call(topic=topic, method="echo", version="1.2", request=Say, reply=Said, timeout=20.0)
        self.fail = Call(topic=topic, method="fail", request=Text, reply=Said, timeout=20.0)
        self.slow = Call(topic=topic, method="slow", request=Wait, reply=Said, timeout=20.0)
        self.nothing = Call(topic=topic, method="nothing", request=Nothing, reply=type(None), timeout=20.0)
        self.unknown = Call(topic=topic, method="unheard_of", request=Nothing, reply=Said, timeout=20.0)
        self.take = Cast(topic=topic, method="take", request=Say)
        self.hear = Fanout(topic=topic, method="hear", request=Say)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, oslo_configuration: str) -> Iterator[OsloServer]:
    directory = tmp_path_factory.mktemp("oslo-server")
    with oslo_server(directory, oslo_configuration, f"{TOPIC}-{directory.name}", HOST, VERSION) as server:
        yield server


@pytest.fixture
def ask(server: OsloServer) -> Topic:
    return Topic(server.topic)


async def test_a_call_to_the_topic_and_to_one_host_brings_back_the_result(
    world: World, server: OsloServer, ask: Topic
) -> None:
    client = await world.bus()

    anywhere = await client.call(ask.echo, Say(text="grüße ☂", number=2))
    there = await client.call(ask.echo.at(HOST), Say(text="there"))

    assert (anywhere.server, anywhere.text, anywhere.number) == (HOST, "grüße ☂", 2)
    assert there.text == "there"
    assert [(await server.took())["method"] for _ in range(2)] == ["echo", "echo"]


async def test_our_context_is_its_context(world: World, server: OsloServer, ask: Topic) -> None:
    client = await world.bus()
    signed = Call(topic=server.topic, method="echo", request=SignedSay, reply=Said, timeout=20.0)
    context = Context(request_id="req-1", user_id="zoë", project_id="p", roles=("member",))

    answer = await client.call(signed, SignedSay(context=context, text="signed"))
    await server.took()

    assert answer.text == "signed"
    assert msgspec.convert(answer.context, Context) == context


async def test_a_method_that_returns_nothing_answers_nothing(world: World, ask: Topic) -> None:
    client = await world.bus()

    await client.call(ask.nothing, Nothing())


async def test_casts_and_fanouts_arrive(world: World, server: OsloServer, ask: Topic) -> None:
    client = await world.bus()

    await client.cast(ask.take, Say(text="to any"))
    first = await server.took()
    await client.cast(ask.take.at(HOST), Say(text="to one"))
    second = await server.took()
    await client.fanout(ask.hear, Say(text="to all"))
    third = await server.took()

    assert [(took["method"], took["text"]) for took in (first, second, third)] == [
        ("take", "to any"),
        ("take", "to one"),
        ("hear", "to all"),
    ]


async def test_its_error_is_a_remote_failure_with_type_and_text(world: World, ask: Topic) -> None:
    client = await world.bus()

    with pytest.raises(RemoteFailure, match="TooHot: it burns"):
        await client.call(ask.fail, Text(text="it burns"))


async def test_a_method_that_it_does_not_have_is_named(world: World, ask: Topic) -> None:
    client = await world.bus()

    with pytest.raises(BusError, match="unheard_of") as caught:
        await client.call(ask.unknown, Nothing())

    assert not isinstance(caught.value, CallTimeout)


@pytest.mark.parametrize("version", ["1.4", "2.0"])
async def test_a_version_that_it_does_not_serve_is_named(world: World, ask: Topic, version: str) -> None:
    client = await world.bus()
    newer = Call(topic=ask.echo.topic, method="echo", version=version, request=Say, reply=Said, timeout=20.0)

    with pytest.raises(BusError, match=f"version {version}") as caught:
        await client.call(newer, Say(text="new"))

    assert not isinstance(caught.value, CallTimeout)


async def test_arguments_that_it_does_not_take_are_a_remote_failure(world: World, ask: Topic) -> None:
    client = await world.bus()
    odd = Call(topic=ask.echo.topic, method="echo", request=Wait, reply=Said, timeout=20.0)

    with pytest.raises(RemoteFailure, match=r"TypeError.*seconds"):
        await client.call(odd, Wait(seconds=1))


async def test_its_late_answer_is_a_timeout_and_does_not_disturb_the_next_call(
    world: World, server: OsloServer, ask: Topic
) -> None:
    client = await world.bus()

    with pytest.raises(CallTimeout):
        await client.call(ask.slow, Wait(seconds=1.5), timeout=0.5)
    answer = await client.call(ask.slow, Wait(seconds=2))  # outlasts the other, so that both answers come here
    assert answer.text == "at last"


async def test_a_host_that_never_was_is_unroutable(world: World, ask: Topic) -> None:
    if world.settings.delivery == "icehouse":
        pytest.skip("without confirms nobody hears that a message was returned, as in Icehouse")
    client = await world.bus()

    with pytest.raises(Unroutable):
        await client.cast(ask.take.at("nowhere"), Say(text="lost"))
