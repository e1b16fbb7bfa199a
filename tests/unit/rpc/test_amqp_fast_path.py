"""The three channels of the hot path: what takes which, and what is sent at once."""

import msgspec
import pytest
from pamqp import commands as spec

from rpc.amqp_fast import FastChannel
from rpc.amqp_path import Rejected, SessionLost
from rpc.envelope import Reply, Request
from rpc.errors import BadMessage
from rpc.transport import Assurance, Destination, Message, destination, everyone, reply_queue
from tests.support.amqp_broker import channel, delivery, returned, sent
from tests.support.amqp_channel import CONFIRMED, CONSUMING, LIMIT, PLAIN, Path, feed, message, publish

SHARED = destination("compute")
HOST = destination("compute", "h1")
REPLY = reply_queue("reply_1")
BLOCKED = sent(0, spec.Connection.Blocked("low on memory"))
UNBLOCKED = sent(0, spec.Connection.Unblocked())


def question(msg_id: str | None = "5" * 32) -> Request:
    return Request(method="do", args=msgspec.Raw(b"{}"), unique_id="u", msg_id=msg_id, reply_to="reply_1")


async def test_messages_take_the_channel_that_promises_what_they_need() -> None:
    opened = Path()

    for assurance in Assurance:
        publish(opened.path, message(assurance))

    published = [number for number, frame in opened.sent() if isinstance(frame, spec.Basic.Publish)]
    assert dict(zip(Assurance, published, strict=True)) == {
        Assurance.NONE: PLAIN,
        Assurance.ROUTED: PLAIN,
        Assurance.CONFIRMED: CONFIRMED,
    }


async def test_replies_and_requests_come_on_channels_of_their_own() -> None:
    opened = Path()
    got: list[tuple[str, bytes]] = []
    opened.path.expect("r", lambda _properties, body, _tag, _again: got.append(("reply", body)), is_reply=True)
    opened.path.expect("c", lambda _properties, body, _tag, _again: got.append(("request", body)), is_reply=False)

    feed(
        opened.wire,
        [
            *delivery(PLAIN, 1, b"1", consumer="r"),
            *delivery(CONSUMING, 1, b"2"),
            *delivery(PLAIN, 2, b"3", consumer="c"),
        ],
    )
    opened.path.origin.ack(1)

    assert got == [("reply", b"1"), ("request", b"2")]
    assert [(number, frame.delivery_tag) for number, frame in opened.sent()] == [(CONSUMING, 1)]


async def test_replies_are_not_settled() -> None:
    opened = Path()
    opened.path.expect("r", lambda _properties, _body, _tag, _again: None, is_reply=True)
    feed(opened.wire, delivery(PLAIN, 1, b"1", consumer="r"))

    replies = opened.wire.receivers[PLAIN]
    assert isinstance(replies, FastChannel)
    replies.ack(1)

    assert opened.sent() == []


async def test_the_end_of_the_wire_is_the_end_of_the_path() -> None:
    opened = Path()
    confirm = publish(opened.path, message())
    error = ConnectionResetError()

    opened.wire.connection_lost(error)

    assert opened.lost == [error]
    assert confirm is not None
    assert isinstance(confirm.exception(), SessionLost)


async def test_another_channel_with_confirms_takes_over_and_the_old_ones_publishes_are_rejected() -> None:
    opened = Path()
    before = publish(opened.path, message())

    opened.path.renew(channel(9))
    after = publish(opened.path, message())
    opened.path.flush()
    feed(opened.wire, [sent(CONFIRMED, spec.Basic.Ack(1)), sent(9, spec.Basic.Ack(1))])

    assert before is not None
    assert after is not None
    assert isinstance(before.exception(), Rejected)
    assert after.done()
    assert after.exception() is None


def routes(opened: Path) -> list[tuple[str, str, bool]]:
    """Exchange, key and whether it must be routed, of all that was published since this was last asked."""
    frames = [frame for _, frame in opened.sent()]
    return [
        (frame.exchange, frame.routing_key, frame.mandatory)
        for frame in frames
        if isinstance(frame, spec.Basic.Publish)
    ]


async def test_what_is_posted_says_all_that_the_message_says() -> None:
    opened = Path()
    reply = Reply(msg_id="m", unique_id="u", result=msgspec.Raw(b"1"))

    assert opened.path.post(REPLY, Message(content=reply, headers={"a": "b", "n": 5}, persistent=True, ttl=1.5))

    (number, method), (_, header), *pieces = opened.sent()
    assert number == PLAIN
    assert (method.exchange, method.routing_key, method.mandatory) == ("nova", "reply_1", False)
    assert (header.properties.headers, header.properties.delivery_mode) == ({"a": "b", "n": 5}, 2)
    assert (header.properties.expiration, header.properties.message_id) == ("1500", None)
    assert b"".join(piece.value for _, piece in pieces) == reply.pack(LIMIT)
    assert {number, *(piece_number for piece_number, _ in pieces)} == {PLAIN}


async def test_what_is_posted_in_one_turn_goes_out_in_one_write_and_in_order() -> None:
    opened = Path()

    for body in (b"1", b"2", b"3"):
        assert opened.path.post(HOST, message(Assurance.NONE, content=body))
    opened.path.flush()

    assert len(opened.socket.writes) == 1
    assert [frame.value for _, frame in opened.sent()[2::3]] == [b"1", b"2", b"3"]


async def test_a_question_that_is_posted_and_that_no_queue_takes_is_told_of_by_its_id() -> None:
    opened = Path()
    asked = question()

    assert opened.path.post(HOST, message(Assurance.ROUTED, content=asked))
    (_, method), (_, header), *_ = opened.sent()
    feed(opened.wire, returned(PLAIN, header.properties.message_id, b"body"))

    assert method.mandatory
    assert header.properties.message_id == asked.msg_id
    assert opened.unrouted == [asked.msg_id]


@pytest.mark.parametrize(
    "sending",
    [
        message(Assurance.NONE, content=question()),
        message(Assurance.NONE, content=question(None)),
        message(Assurance.ROUTED, content=question(None)),
        message(Assurance.ROUTED, content=b"x"),
    ],
    ids=lambda sending: f"{sending.assurance.name} {type(sending.content).__name__}",
)
async def test_what_nobody_waits_for_has_no_message_id(sending: Message) -> None:
    opened = Path()

    assert opened.path.post(HOST, sending)

    (_, method), (_, header), *_ = opened.sent()
    assert method.mandatory == (sending.assurance is Assurance.ROUTED)
    assert header.properties.message_id is None


async def test_nothing_is_posted_while_the_broker_or_the_socket_takes_nothing() -> None:
    opened = Path()
    sending = message(Assurance.NONE)

    feed(opened.wire, [BLOCKED])
    assert not opened.path.post(HOST, sending)
    opened.wire.pause_writing()
    feed(opened.wire, [UNBLOCKED])
    assert not opened.path.post(HOST, sending)
    assert opened.sent() == []

    opened.wire.resume_writing()
    assert opened.path.post(HOST, sending)
    assert routes(opened) == [("nova", "compute.h1", False)]


async def test_a_shared_queue_is_posted_to_once_it_is_declared() -> None:
    opened = Path()
    sending = message(Assurance.ROUTED)

    assert not opened.path.post(SHARED, sending)
    assert opened.sent() == []
    opened.declared.add(SHARED.name)
    assert opened.path.post(SHARED, sending)

    assert routes(opened) == [("nova", "compute", True)]


@pytest.mark.parametrize("to", [HOST, REPLY], ids=lambda to: to.role)
async def test_a_queue_that_is_its_consumers_to_declare_is_posted_to_at_once(to: Destination) -> None:
    opened = Path()

    assert opened.path.post(to, message(Assurance.NONE))

    assert routes(opened) == [("nova", to.name, False)]


async def test_a_fanout_is_not_posted() -> None:
    opened = Path()

    assert not opened.path.post(everyone("compute"), message(Assurance.NONE))

    assert opened.sent() == []


async def test_what_is_to_be_confirmed_is_not_posted() -> None:
    opened = Path()

    assert not opened.path.post(HOST, message(Assurance.CONFIRMED))

    assert opened.sent() == []


async def test_a_body_over_the_limit_is_not_posted() -> None:
    opened = Path()
    asked = question()
    asked.args = msgspec.Raw(b'"' + b"x" * LIMIT + b'"')

    with pytest.raises(BadMessage, match=f"the limit is {LIMIT}"):
        opened.path.post(HOST, message(Assurance.ROUTED, content=asked))

    assert opened.sent() == []


async def test_an_address_is_asked_for_once_and_for_each_way_of_sending() -> None:
    opened = Path()
    ways = [Assurance.NONE, Assurance.ROUTED, Assurance.NONE, Assurance.ROUTED]

    for assurance in ways:
        assert opened.path.post(HOST, message(assurance))

    assert opened.asked == [HOST, HOST]
    assert routes(opened) == [("nova", "compute.h1", assurance is Assurance.ROUTED) for assurance in ways]


@pytest.mark.parametrize("assurance", [Assurance.NONE, Assurance.ROUTED], ids=lambda assurance: assurance.name)
async def test_reply_queues_that_come_and_go_are_not_remembered_for_ever(assurance: Assurance) -> None:
    opened = Path()
    sending = message(assurance)

    assert opened.path.post(HOST, sending)
    for number in range(5000):
        assert opened.path.post(reply_queue(f"reply_{number}"), sending)
    opened.path.flush()
    opened.socket.writes.clear()
    assert opened.path.post(HOST, sending)

    assert opened.asked.count(HOST) == 2
    assert routes(opened) == [("nova", "compute.h1", assurance is Assurance.ROUTED)]


async def test_what_is_posted_when_the_connection_is_lost_goes_nowhere() -> None:
    opened = Path()

    opened.wire.connection_lost(None)
    opened.path.post(HOST, message(Assurance.NONE))

    assert opened.sent() == []
    assert opened.lost == [None]
