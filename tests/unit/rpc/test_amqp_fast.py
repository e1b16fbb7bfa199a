import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands as spec

from rpc import frames
from rpc.amqp_fast import FastChannel, FastPath
from rpc.amqp_path import SessionLost
from rpc.amqp_wire import Wire
from rpc.envelope import Request
from rpc.errors import NotConnected, Unroutable
from rpc.transport import Assurance, Message
from tests.support.amqp_broker import FRAME_MAX, Ledger, Socket, channel, connected, delivery, returned, sent

ONE, TWO, SLOW = 3, 4, 5
Got = list[tuple[bytes, int, bool]]


class Receiver:
    """A channel of the hot path and what came of it."""

    def __init__(self, wire: Wire, number: int) -> None:
        self.got: Got = []
        self.properties: list[object] = []
        self.unrouted: list[str] = []
        self.failures: list[Exception] = []
        self.channel = FastChannel(wire, channel(number), fail=self.failures.append, unrouted=self.unrouted.append)
        self.channel.receivers[b"c"] = self._take

    def _take(self, properties: object, body: bytes, tag: int, is_again: bool) -> None:
        self.properties.append(properties)
        self.got.append((body, tag, is_again))


def message(assurance: Assurance = Assurance.CONFIRMED, *, content: Request | bytes = b"x", **more: Any) -> Message:
    return Message(content=content, headers={}, assurance=assurance, **more)


def publish(
    through: FastChannel | FastPath, sending: Message, *, mandatory: bool = True
) -> "asyncio.Future[None] | None":
    return through.publish("nova", "key", sending, b"body", mandatory=mandatory)


def confirmed(through: FastChannel, count: int) -> "list[asyncio.Future[None]]":
    found = [publish(through, message()) for _ in range(count)]
    return [confirm for confirm in found if confirm is not None]


def feed(wire: Wire, frames: Sequence[bytes]) -> None:
    wire.data_received(b"".join(frames))


def patterned(size: int) -> bytes:
    return bytes(number % 251 for number in range(size))


# What a broker may send on three channels, frame by frame, and what must come of it.
SIZES = [0, 1, FRAME_MAX - 8, FRAME_MAX - 7, 3 * FRAME_MAX]
TRAFFIC = [
    frame
    for each in zip(
        [
            frame
            for tag, size in enumerate(SIZES, 1)
            for frame in delivery(ONE, tag, patterned(size), is_again=tag == 2)
        ],
        [frame for tag in range(1, 99) for frame in [*delivery(TWO, tag, b"two"), *returned(TWO, f"m{tag}", b"r")]],
        [frame for _ in range(99) for frame in (sent(SLOW, spec.Channel.OpenOk()), frames.HEARTBEAT)],
        strict=False,
    )
    for frame in each
]
SLOWLY = b"".join(TRAFFIC[2::3])


async def received(pieces: Sequence[bytes]) -> None:
    """Feed these pieces, and see that all of TRAFFIC arrives where it must."""
    wire, _ = connected()
    one, two = Receiver(wire, ONE), Receiver(wire, TWO)

    for piece in pieces:
        wire.data_received(piece)
    wire.eof_received()

    assert one.got == [(patterned(size), tag, tag == 2) for tag, size in enumerate(SIZES, 1)]
    assert [(body, tag) for body, tag, _ in two.got] == [(b"two", tag) for tag in range(1, len(two.got) + 1)]
    assert two.unrouted == [f"m{tag}" for tag in range(1, len(two.unrouted) + 1)]
    assert len(two.got) + len(two.unrouted) == 5
    assert one.failures == two.failures == []
    assert await wire.stream.read() == SLOWLY


async def test_frames_cut_at_any_byte_arrive_as_whole_ones_do() -> None:
    data = b"".join(TRAFFIC)

    await received([data])
    for cut in range(1, len(data)):
        await received([data[:cut], data[cut:]])
    await received([bytes((byte,)) for byte in data])


@given(st.lists(st.integers(0, len(b"".join(TRAFFIC))), max_size=12))
async def test_frames_in_any_pieces_arrive_as_whole_ones_do(cuts: list[int]) -> None:
    data = b"".join(TRAFFIC)

    await received([data[start:end] for start, end in pairwise([0, *sorted(cuts), len(data)])])


@given(
    st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.integers(0, 3 * FRAME_MAX), st.booleans()), max_size=8),
    st.data(),
)
async def test_messages_whose_frames_are_mixed_arrive_whole(
    sizes: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    wire, _ = connected()
    channels = {number: Receiver(wire, number) for number in (ONE, TWO)}
    waiting: dict[int, list[bytes]] = {ONE: [], TWO: []}
    expected: dict[int, Got] = {ONE: [], TWO: []}
    for tag, (number, size, is_again) in enumerate(sizes, 1):
        waiting[number] += delivery(number, tag, patterned(size), is_again=is_again)
        expected[number].append((patterned(size), tag, is_again))
    mixed = []
    while any(waiting.values()):
        number = data.draw(st.sampled_from([number for number in waiting if waiting[number]]))
        mixed.append(waiting[number].pop(0))

    feed(wire, mixed)

    assert {number: receiver.got for number, receiver in channels.items()} == expected


async def test_a_delivery_comes_with_its_properties() -> None:
    wire, _ = connected()
    receiver = Receiver(wire, ONE)

    feed(wire, delivery(ONE, 1, b""))

    (properties,) = receiver.properties
    assert isinstance(properties, bytes)
    assert frames.headers_of(properties) == {"n": "v"}


async def test_a_delivery_for_a_consumer_that_is_no_more_is_let_go() -> None:
    wire, _ = connected()
    receiver = Receiver(wire, ONE)

    feed(wire, [*delivery(ONE, 1, b"x", consumer="gone"), *delivery(ONE, 2, b"y")])

    assert receiver.got == [(b"y", 2, False)]
    assert receiver.unrouted == []


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 9]), st.binary(max_size=40)), max_size=6))
async def test_frames_of_any_kind_and_content_are_told_of_and_no_worse(kinds: list[tuple[int, bytes]]) -> None:
    wire, _ = connected()
    receiver = Receiver(wire, ONE)
    methods = [frames.DELIVER, frames.RETURN, frames.ACK, frames.NACK, b""]

    for place, (kind, payload) in enumerate(kinds):
        payload = methods[place % len(methods)] + payload
        wire.data_received(kind.to_bytes() + ONE.to_bytes(2) + len(payload).to_bytes(4) + payload + frames.END)

    assert all(isinstance(failure, frames.UNREADABLE) for failure in receiver.failures)


async def test_half_a_method_ends_the_connection() -> None:
    wire, _ = connected()
    receiver = Receiver(wire, ONE)

    wire.data_received(
        frames.METHOD.to_bytes() + ONE.to_bytes(2) + (5).to_bytes(4) + frames.DELIVER + b"\xff" + frames.END
    )

    assert len(receiver.failures) == 1


class Settling:
    """A channel with deliveries, and a broker that watches how they are settled."""

    def __init__(self, count: int) -> None:
        self.wire, self.socket = connected()
        self.channel = Receiver(self.wire, ONE).channel
        self.ledger = Ledger()
        for _ in range(count):
            self.ledger.deliver()

    def turn(self) -> list[tuple[int, Any]]:
        """The frames that go out at the end of this turn of the loop."""
        self.wire.flush()
        taken = self.socket.taken()
        self.ledger.settle(taken)
        return taken


async def test_what_is_done_in_one_turn_is_acknowledged_by_one_frame() -> None:
    settling = Settling(100)
    for tag in range(100, 0, -1):
        settling.channel.ack(tag)

    await asyncio.sleep(0)

    assert len(settling.socket.writes) == 1
    ((number, ack),) = settling.socket.taken()
    assert (number, ack.delivery_tag, ack.multiple) == (ONE, 100, True)


async def test_what_is_done_ahead_of_others_is_acknowledged_by_itself_and_never_again() -> None:
    settling = Settling(6)
    settling.channel.ack(2)
    settling.channel.ack(4)
    settling.turn()
    assert settling.ledger.open == {1, 3, 5, 6}

    settling.channel.nack(3)
    settling.channel.ack(1)
    assert [(type(f).__name__, f.delivery_tag, f.multiple) for _, f in settling.turn()] == [
        ("Nack", 3, False),
        ("Ack", 1, True),
    ]
    settling.channel.ack(6)
    settling.channel.ack(5)
    ((_, last),) = settling.turn()

    assert (last.delivery_tag, last.multiple) == (6, True)
    assert (settling.ledger.acked, settling.ledger.given_back) == ({1, 2, 4, 5, 6}, {3})


STEPS = st.lists(st.sampled_from(["ack", "ack", "ack", "nack", "deliver", "deliver", "turn"]), max_size=80)


@given(STEPS, st.randoms(use_true_random=False))
async def test_settlements_in_any_order_name_each_delivery_once(steps: list[str], dice: Any) -> None:
    settling = Settling(3)
    done: set[int] = set()
    given_back: set[int] = set()
    waiting = [1, 2, 3]
    for step in steps:
        if step == "deliver":
            waiting.append(settling.ledger.deliver())
        elif step == "turn":
            settling.turn()
            assert settling.ledger.acked == done
        elif waiting:
            tag = waiting.pop(dice.randrange(len(waiting)))
            (done if step == "ack" else given_back).add(tag)
            (settling.channel.ack if step == "ack" else settling.channel.nack)(tag)
    for tag in waiting:
        settling.channel.ack(tag)

    settling.turn()

    assert settling.ledger.open == set()
    assert (settling.ledger.acked, settling.ledger.given_back) == (done | set(waiting), given_back)


async def test_a_publish_says_all_that_the_message_says() -> None:
    wire, socket = connected()
    through = Receiver(wire, ONE).channel
    sending = Message(content=b"", headers={"a": "b", "n": 5}, assurance=Assurance.CONFIRMED, persistent=True, ttl=1.5)

    confirm = through.publish("nova", "compute.h1", sending, b"body", mandatory=True)
    wire.flush()

    (_, method), (_, header), (_, body) = socket.taken()
    assert confirm is not None
    assert (method.exchange, method.routing_key, method.mandatory) == ("nova", "compute.h1", True)
    assert (header.properties.headers, header.properties.delivery_mode) == ({"a": "b", "n": 5}, 2)
    assert (header.properties.expiration, body.value) == ("1500", b"body")


async def test_only_what_is_to_be_confirmed_is_waited_for() -> None:
    wire, _ = connected()
    through = Receiver(wire, ONE).channel

    assert publish(through, message(Assurance.NONE)) is None
    assert publish(through, message(Assurance.ROUTED)) is None
    assert publish(through, message(Assurance.CONFIRMED)) is not None


CONFIRMS = st.lists(
    st.tuples(st.sampled_from(["ack", "ack", "nack"]), st.booleans(), st.integers(0, 10**6), st.booleans()), max_size=30
)


@given(st.integers(1, 20), CONFIRMS, st.sets(st.integers(1, 20), max_size=3))
async def test_confirms_in_any_order_conclude_each_publish_once(
    count: int, steps: list[tuple[str, bool, int, bool]], impatient: set[int]
) -> None:
    wire, _ = connected()
    confirms = dict(enumerate(confirmed(Receiver(wire, ONE).channel, count), 1))
    for number in impatient & confirms.keys():
        confirms[number].cancel()
    waiting = set(confirms)
    expected: dict[int, type[Exception] | None] = {}
    for kind, is_multiple, dice, is_unrouted in steps:
        if not waiting:
            break
        tag = sorted(waiting)[dice % len(waiting)]
        ended = {number for number in waiting if number <= tag} if is_multiple else {tag}
        if is_unrouted:
            feed(wire, returned(ONE, str(tag), b"body"))
        refused = None if kind == "ack" else NotConnected
        expected |= dict.fromkeys(ended, refused) | ({tag: Unroutable} if is_unrouted else {})
        waiting -= ended
        method = spec.Basic.Ack if kind == "ack" else spec.Basic.Nack
        feed(wire, [sent(ONE, method(tag, is_multiple))])

    for number, confirm in confirms.items():
        if number in impatient:
            assert confirm.cancelled()
        elif number in waiting:
            assert not confirm.done()
        else:
            why = confirm.exception()
            assert why is None if expected[number] is None else isinstance(why, expected[number] or ())


async def test_a_message_that_no_queue_takes_fails_with_its_confirm() -> None:
    wire, socket = connected()
    receiver = Receiver(wire, ONE)
    first, second = confirmed(receiver.channel, 2)
    wire.flush()
    ids = [header.properties.message_id for _, header in socket.taken()[1::3]]

    feed(wire, returned(ONE, ids[0], b"body"))
    assert not first.done()
    feed(wire, [sent(ONE, spec.Basic.Ack(2, True))])

    assert isinstance(first.exception(), Unroutable)
    assert second.done()
    assert second.exception() is None
    assert receiver.unrouted == []


async def test_a_question_that_no_queue_takes_is_told_of_by_its_id() -> None:
    wire, socket = connected()
    receiver = Receiver(wire, ONE)
    asked = Request(method="do", args=msgspec.Raw(b"{}"), msg_id="5" * 18, reply_to="reply_1")

    publish(receiver.channel, message(Assurance.ROUTED, content=asked))
    wire.flush()
    (_, method), (_, header), _ = socket.taken()
    assert method.mandatory
    feed(wire, returned(ONE, header.properties.message_id, b"body"))

    assert receiver.unrouted == [asked.msg_id]


async def test_a_lost_connection_ends_every_confirm_and_later_ones_at_once() -> None:
    wire, socket = connected()
    through = Receiver(wire, ONE).channel
    before, impatient = confirmed(through, 2)
    impatient.cancel()

    wire.connection_lost(None)
    (after,) = confirmed(through, 1)
    wire.flush()

    for confirm in (before, after):
        assert isinstance(confirm.exception(), SessionLost)
    assert socket.writes == []


class Path:
    """All three channels of the hot path."""

    def __init__(self) -> None:
        self.lost: list[Exception | None] = []
        self.unrouted: list[str] = []
        self.wire, self.socket = connected()
        self.path = FastPath(
            self.wire, channel(1), channel(2), channel(3), fail=self.lost.append, unrouted=self.unrouted.append
        )


async def test_messages_take_the_channel_that_promises_what_they_need() -> None:
    opened = Path()

    for assurance in Assurance:
        publish(opened.path, message(assurance))
    opened.path.flush()

    published = [number for number, frame in opened.socket.taken() if isinstance(frame, spec.Basic.Publish)]
    assert dict(zip(Assurance, published, strict=True)) == {
        Assurance.NONE: 2,
        Assurance.ROUTED: 2,
        Assurance.CONFIRMED: 1,
    }


async def test_replies_and_requests_come_on_channels_of_their_own() -> None:
    opened = Path()
    got: list[tuple[str, bytes]] = []
    opened.path.expect("r", lambda _properties, body, _tag, _again: got.append(("reply", body)), is_reply=True)
    opened.path.expect("c", lambda _properties, body, _tag, _again: got.append(("request", body)), is_reply=False)

    feed(opened.wire, [*delivery(2, 1, b"1", consumer="r"), *delivery(3, 1, b"2"), *delivery(2, 2, b"3", consumer="c")])
    opened.path.ack(1)
    opened.path.flush()

    assert got == [("reply", b"1"), ("request", b"2")]
    assert [number for number, _ in opened.socket.taken()] == [3]


async def test_the_end_of_the_wire_is_the_end_of_the_path() -> None:
    opened = Path()
    confirm = publish(opened.path, message())
    error = ConnectionResetError()

    opened.wire.connection_lost(error)

    assert opened.lost == [error]
    assert confirm is not None
    assert isinstance(confirm.exception(), SessionLost)


def test_the_socket_is_as_strict_as_a_broker() -> None:
    ledger = Ledger()
    ledger.deliver()
    ledger.settle([(1, spec.Basic.Ack(1))])

    with pytest.raises(AssertionError, match="unknown delivery tag 1"):
        ledger.settle([(1, spec.Basic.Ack(1))])
    assert Socket().taken() == []
