from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands as spec

from rpc import frames
from tests.support.amqp_broker import FRAME_MAX, connected, delivery, returned, sent
from tests.support.amqp_channel import Got, Receiver, feed

ONE, TWO, SLOW = 3, 4, 5


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
    assert two.got == [(b"two", tag, False) for tag in (1, 2, 3)]
    assert two.unrouted == ["m1", "m2", "m3"]
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
