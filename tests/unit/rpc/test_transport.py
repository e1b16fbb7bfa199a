import msgspec
import pytest

from rpc.envelope import Reply, Request, unpack
from rpc.errors import BadMessage, Unroutable
from rpc.transport import (
    Delivery,
    Role,
    body_of,
    check_size,
    dead_letters,
    destination,
    everyone,
    reply_queue,
)

LIMIT = 1_000_000


class Ledger:
    """Where deliveries come from that are settled nowhere else."""

    def __init__(self) -> None:
        self.settled: list[tuple[str, int]] = []

    def ack(self, tag: int) -> None:
        self.settled.append(("ack", tag))

    def nack(self, tag: int) -> None:
        self.settled.append(("nack", tag))


def delivered(content: Request | Reply | bytes, origin: Ledger | None = None, tag: int = 1) -> Delivery:
    return Delivery(
        source=destination("t"), content=content, headers={}, redelivered=False, origin=origin or Ledger(), tag=tag
    )


def test_queues_have_novas_names() -> None:
    places = [destination("compute"), destination("compute", "h1"), everyone("compute"), dead_letters("compute")]

    assert [(place.role, place.name) for place in places] == [
        (Role.SHARED, "compute"),
        (Role.HOST, "compute.h1"),
        (Role.FANOUT, "compute_fanout"),
        (Role.DEAD, "compute.dead"),
    ]
    assert reply_queue("reply_1").name == "reply_1"
    assert [place.is_fanout for place in places] == [False, False, True, False]


@pytest.mark.parametrize("name", ["", "*", "a.#", "a b", ".a", "ü", "a\n", "x" * 201])
def test_names_that_no_queue_can_have_are_unroutable(name: str) -> None:
    with pytest.raises(Unroutable, match="no queue can be named"):
        destination("compute", name)
    with pytest.raises(Unroutable, match="no queue can be named"):
        destination(name)


def test_topic_and_host_together_fit_a_name_of_amqp() -> None:
    assert len(destination("t" * 100, "h" * 154).name) == 255

    with pytest.raises(Unroutable, match="together they are too long"):
        destination("t" * 100, "h" * 155)


def test_the_dead_letters_are_no_host() -> None:
    with pytest.raises(Unroutable, match="dead-letter queue"):
        destination("compute", "dead")


def test_what_crosses_has_the_same_bytes_wherever_they_are_made() -> None:
    request = Request(method="do", args=msgspec.Raw(b"{}"), unique_id="u")
    reply = Reply(msg_id="m", unique_id="u")

    for content, body in (
        (request, request.pack(LIMIT)),
        (reply, reply.pack(LIMIT)),
        (b"as they came", b"as they came"),
    ):
        delivery = delivered(content)
        assert body_of(content, LIMIT) == delivery.body == body


def test_a_delivery_is_settled_where_it_came_from() -> None:
    here, there = Ledger(), Ledger()

    delivered(b"", here, 1).ack()
    delivered(b"", there, 1).nack()
    delivered(b"", here, 2).nack()

    assert here.settled == [("ack", 1), ("nack", 2)]
    assert there.settled == [("nack", 1)]


def test_a_delivery_is_read_as_a_request_within_the_limit() -> None:
    request = Request(method="do", args=msgspec.Raw(b"{}"), unique_id="u")
    body = request.pack(LIMIT)
    delivery = delivered(body)
    whole = msgspec.structs.replace(delivery, content=request)

    assert delivery.request(len(body)) == unpack(body, LIMIT)
    assert whole.request(LIMIT) is request
    with pytest.raises(BadMessage, match="the limit is"):
        delivery.request(len(body) - 1)


@pytest.mark.parametrize("text", ["x", '"', "\x00", "ü", "\\"], ids=ascii)
@pytest.mark.parametrize("length", [10, 1000, 20_000])
def test_a_size_is_checked_without_its_bytes_as_with_them(text: str, length: int) -> None:
    args = msgspec.json.encode({"text": text * length})
    request = Request(method="do", args=msgspec.Raw(args), unique_id="u", weight=len(args))
    for content in (request, Reply(msg_id="m", unique_id="u", result=msgspec.Raw(args))):
        size = len(body_of(content, LIMIT))

        check_size(content, size)
        with pytest.raises(BadMessage, match=f"message of {size} bytes"):
            check_size(content, size - 1)
