"""Acknowledgements and confirms of the hot path."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands as spec

from rpc.amqp_path import Rejected, SessionLost
from rpc.envelope import Request
from rpc.errors import Unroutable
from rpc.transport import Assurance, Message
from tests.support.amqp_broker import Ledger, connected, delivery, returned, sent
from tests.support.amqp_channel import Receiver, confirmed, feed, message, publish

ONE = 3


class Settling:
    """A channel with deliveries, and a broker that watches how they are settled."""

    def __init__(self, count: int) -> None:
        self.wire, self.socket = connected()
        self.channel = Receiver(self.wire, ONE).channel
        self.ledger = Ledger()
        for _ in range(count):
            self.deliver()

    def deliver(self, consumer: str = "c") -> int:
        """Have one more message come in; the tag of its delivery."""
        tag = self.ledger.deliver()
        feed(self.wire, delivery(ONE, tag, b"x" * (tag % 3), consumer=consumer))
        return tag

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


async def test_what_is_given_back_in_the_turn_that_it_was_done_in_is_given_back_alone() -> None:
    settling = Settling(2)

    settling.channel.ack(1)
    settling.channel.nack(1)
    settling.channel.ack(1)
    settling.turn()
    settling.channel.ack(2)
    settling.turn()

    assert (settling.ledger.acked, settling.ledger.given_back) == ({2}, {1})


async def test_what_is_not_open_is_not_settled() -> None:
    settling = Settling(2)
    settling.channel.ack(1)
    settling.turn()

    for tag in (0, 1, 3, 2**40):
        settling.channel.ack(tag)
        settling.channel.nack(tag)

    assert settling.turn() == []
    assert settling.ledger.open == {2}


async def test_a_delivery_whose_consumer_is_no_more_is_not_acknowledged_with_others() -> None:
    settling = Settling(1)
    lone, later = settling.deliver(consumer="gone"), settling.deliver()

    settling.channel.ack(1)
    settling.channel.ack(later)
    settling.turn()

    assert settling.ledger.acked == {1, later}
    assert settling.ledger.open == {lone}


async def test_a_channel_whose_deliveries_need_no_settling_settles_none() -> None:
    wire, socket = connected()
    receiver = Receiver(wire, ONE, settles=False)
    feed(wire, [*delivery(ONE, 1, b"x"), *delivery(ONE, 2, b"")])

    receiver.channel.ack(1)
    receiver.channel.nack(2)
    wire.flush()

    assert receiver.got == [(b"x", 1, False), (b"", 2, False)]
    assert socket.taken() == []


STEPS = st.lists(st.sampled_from(["ack", "ack", "ack", "nack", "deliver", "deliver", "turn", "stray"]), max_size=80)


@given(STEPS, st.randoms(use_true_random=False))
async def test_settlements_in_any_order_name_each_delivery_once(steps: list[str], dice: Any) -> None:
    settling = Settling(3)
    done: set[int] = set()
    given_back: set[int] = set()
    waiting = [1, 2, 3]
    for step in steps:
        if step == "deliver":
            waiting.append(settling.deliver())
        elif step == "turn":
            settling.turn()
            assert settling.ledger.acked == done
        elif step == "stray":
            tag = dice.choice(sorted({*settling.ledger.acked, *settling.ledger.given_back, 10**6}))
            dice.choice([settling.channel.ack, settling.channel.nack])(tag)
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
        refused = None if kind == "ack" else Rejected
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


def test_the_ledger_is_as_strict_as_a_broker() -> None:
    ledger = Ledger()
    ledger.deliver()
    ledger.settle([(1, spec.Basic.Ack(1))])

    with pytest.raises(AssertionError, match="unknown delivery tag 1"):
        ledger.settle([(1, spec.Basic.Ack(1))])
