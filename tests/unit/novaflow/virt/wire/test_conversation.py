"""One TCP connection from our end, segment by segment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.virt.wire.conversation import AGAIN, BURST, TRIES, Conversation, Phase
from novaflow.virt.wire.frames import METADATA
from novaflow.virt.wire.segments import ACK, FIN, MODULUS, MSS, PSH, RST, SYN, Segment
from tests.support.guest_wire import IP, MAC

FIRST = MODULUS - 3  # so that the numbers of our bytes begin anew soon
THEIRS = 5000


def segment(seq: int, ack: int, flags: int, data: bytes = b"", window: int = 65535) -> Segment:
    return Segment(
        mac=MAC, ip=IP, port=40000, our_ip=METADATA, our_port=80,
        seq=seq % MODULUS, ack=ack % MODULUS, flags=flags, window=window, data=data,
    )  # fmt: skip


def opened() -> Conversation:
    """A connection that the guest has opened."""
    made = Conversation(segment(THEIRS, 0, SYN), FIRST, 0.0)
    (answer,) = made.outgoing(0.0)
    assert (answer.seq, answer.ack, answer.flags) == (FIRST, THEIRS + 1, SYN | ACK)
    made.receive(segment(THEIRS + 1, FIRST + 1, ACK), 0.0)
    assert made.phase is Phase.OPEN
    return made


def test_what_the_guest_says_is_taken_once_and_acknowledged() -> None:
    talk = opened()

    assert talk.receive(segment(THEIRS + 1, FIRST + 1, ACK | PSH, b"hello"), 1.0) == b"hello"
    assert [one.ack for one in talk.outgoing(1.0)] == [THEIRS + 6]
    assert talk.receive(segment(THEIRS + 1, FIRST + 1, ACK | PSH, b"hello you"), 1.0) == b" you"
    assert [one.ack for one in talk.outgoing(1.0)] == [THEIRS + 10]


def test_what_comes_from_beyond_a_gap_must_come_again() -> None:
    talk = opened()

    assert talk.receive(segment(THEIRS + 9, FIRST + 1, ACK, b"later"), 1.0) == b""
    assert [one.ack for one in talk.outgoing(1.0)] == [THEIRS + 1]


def test_while_nobody_takes_anything_nothing_is_acknowledged() -> None:
    talk = opened()

    assert talk.receive(segment(THEIRS + 1, FIRST + 1, ACK, b"hello"), 1.0, takes=False) == b""
    assert list(talk.outgoing(1.0)) == []


def test_so_much_is_under_way_and_no_more() -> None:
    talk = opened()
    talk.write(bytes(MSS * BURST * 2))

    assert len(list(talk.outgoing(1.0))) == BURST
    assert list(talk.outgoing(1.0)) == []
    talk.receive(segment(THEIRS + 1, FIRST + 1 + MSS * BURST, ACK), 1.1)
    assert len(list(talk.outgoing(1.1))) == BURST


def test_a_guest_that_has_no_room_is_sent_nothing_until_it_has() -> None:
    talk = opened()
    talk.receive(segment(THEIRS + 1, FIRST + 1, ACK, window=0), 1.0)
    talk.write(b"hello")

    assert list(talk.outgoing(1.0)) == []
    talk.receive(segment(THEIRS + 1, FIRST + 1, ACK, window=3), 2.0)
    assert [one.data for one in talk.outgoing(2.0)] == [b"hel"]


def test_what_is_not_acknowledged_is_sent_again_and_at_last_given_up() -> None:
    talk, now = opened(), 1.0
    talk.write(b"hello")
    assert [one.data for one in talk.outgoing(now)] == [b"hello"]

    for number in range(TRIES):
        now += AGAIN * 2**number
        assert [one.data for one in talk.outgoing(now)] == [b"hello"]
    now += AGAIN * 2**TRIES

    assert [one.flags for one in talk.outgoing(now)] == [RST | ACK]
    assert talk.phase is Phase.OVER


@pytest.mark.parametrize("guest_first", [False, True])
def test_it_is_over_when_both_have_closed(guest_first: bool) -> None:
    talk = opened()
    end = FIRST + 1 + len(b"bye") + 1

    if guest_first:
        talk.receive(segment(THEIRS + 1, FIRST + 1, ACK | FIN), 1.0)
    talk.write(b"bye")
    talk.close()
    sent = list(talk.outgoing(1.0))
    assert (sent[-1].data, sent[-1].flags & FIN) == (b"bye", FIN)
    talk.receive(segment(THEIRS + 1 + guest_first, end, ACK), 1.0)
    was_over = talk.phase is Phase.OVER
    talk.receive(segment(THEIRS + 1, end, ACK | FIN), 1.0)

    assert was_over == guest_first
    assert talk.phase is Phase.OVER


def test_a_reset_ends_it_only_if_it_is_in_its_place() -> None:
    talk = opened()

    phases = []
    for seq in (THEIRS + 100, THEIRS + 1):
        talk.receive(segment(seq, 0, RST), 1.0)
        phases.append(talk.phase)

    assert phases == [Phase.OPEN, Phase.OVER]
    assert list(talk.outgoing(1.0)) == []


@given(
    st.lists(
        st.tuples(st.integers(0, MODULUS - 1), st.integers(0, MODULUS - 1), st.integers(0, 31), st.binary(max_size=9))
    )
)
def test_nothing_that_a_guest_makes_up_is_an_error(made_up: list[tuple[int, int, int, bytes]]) -> None:
    talk, now = opened(), 1.0
    talk.write(b"hello")

    for seq, ack, flags, data in made_up:
        now += 1.0
        talk.receive(segment(seq, ack, flags, data), now)
        assert all(len(one.data) <= MSS for one in talk.outgoing(now))
    assert talk.unsent <= len(b"hello")
