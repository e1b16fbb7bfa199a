"""Queues as people look after them: how full they are, and what ended in the dead letters.

A dead letter holds the message as it came, with everything its handler was told, secrets included: they are needed when it is
replayed. Nothing here shows them; who prints a letter's arguments masks them first.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from rpc.address import Address
from rpc.envelope import DEAD_SINCE, ORIGIN, REASON, RETRIES, TRACEPARENT, UNREADABLE
from rpc.transport import dead_letters

_ID_LENGTH: Final = 12  # hex digits: as good as unique in one queue, and still typed by hand
_CONTEXT: Final = "_context_"
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """One queue: how many messages wait in it and how many consumers it has.

    Messages that a consumer has and has not acknowledged do not count as waiting.
    """

    name: str
    messages: int
    consumers: int


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message that could not be handled.

    `id` is made of the message's bytes, so it stays the same from one look to the next, and copies of one message share it.
    `position` counts from 0 in this look. `queue` is where the message was taken from. Method, arguments and
    `unique_id` are None or empty when the body cannot be read.
    """

    id: str
    position: int
    body: bytes = field(repr=False)
    reason: str = ""
    queue: str = ""
    retries: int = 0
    dead_since: datetime | None = None
    traceparent: str = ""
    method: str | None = None
    version: str = ""
    unique_id: str = ""
    arguments: object = field(default=None, repr=False)
    context: Mapping[str, object] = field(default_factory=dict, repr=False)  # on whose behalf

    @property
    def is_readable(self) -> bool:
        """It is a request, whatever is wrong with it."""
        return self.method is not None


@dataclass(frozen=True, kw_only=True)
class Stayed:
    """A dead letter that could not be replayed, and why."""

    id: str
    method: str | None
    queue: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of a replay: how many messages are in their queues again, and which had to stay."""

    count: int
    stayed: tuple[Stayed, ...] = ()


Select = Callable[[DeadLetter], bool]


def everything(letter: DeadLetter) -> bool:  # noqa: ARG001  # a Select
    """Select every dead letter."""
    return True


class Queues(Protocol):
    """The queues of a broker. All methods raise NotConnected when it goes away, Refused when it does not let us.

    What is looked at is taken from its queue and given back, in its old order; should the look be cut off, the broker gives it
    back. Two who look at the same time see different letters, and lose none.
    """

    async def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        """The queues of these names, in this order, without those that are not there."""
        ...

    async def peek(self, topic: str, limit: int, select: Select = everything) -> list[DeadLetter]:
        """The oldest `limit` selected dead letters of a topic."""
        ...

    async def replay(self, topic: str, select: Select) -> Replayed:
        """Publish the selected dead letters to the queues they came from, as if for the first time.

        Each leaves the dead letters when the broker has confirmed the new message, so a cut between the two leaves both.
        """
        ...

    async def purge(self, topic: str, select: Select) -> int:
        """Delete the selected dead letters for good; answers how many."""
        ...


def open_queues(address: Address) -> AbstractAsyncContextManager[Queues]:
    """The queues of the broker at `address` while the block runs; raises NotConnected, Refused, Misconfigured."""
    return _opened(address)


@asynccontextmanager
async def _opened(address: Address) -> AsyncIterator[Queues]:
    # Imported late: who only names the types does without the AMQP library.
    from rpc.amqp_queues import AmqpQueues

    async with AmqpQueues.open(address) as queues:
        yield queues


def read_letter(
    position: int, body: bytes, headers: Mapping[str, object], stamped: datetime | None = None
) -> DeadLetter:
    """A dead letter from what the broker holds. Never raises: whatever is unreadable is left empty.

    `stamped` is the message's own timestamp, for letters that do not say since when they are dead.
    """
    request = _request(body)
    method = request.get("method")
    return DeadLetter(
        id=hashlib.sha256(body).hexdigest()[:_ID_LENGTH],
        position=position,
        body=body,
        reason=_text(headers.get(REASON)),
        queue=_text(headers.get(ORIGIN)),
        retries=_count(headers.get(RETRIES)) or 0,
        dead_since=_time(_count(headers.get(DEAD_SINCE))) or stamped,
        traceparent=_text(headers.get(TRACEPARENT)),
        method=method if isinstance(method, str) else None,
        version=_text(request.get("version")),
        unique_id=_text(request.get("_unique_id")),
        arguments=request.get("args"),
        context={name.removeprefix(_CONTEXT): value for name, value in request.items() if name.startswith(_CONTEXT)},
    )


def why_not(letter: DeadLetter, topic: str) -> str:
    """Why this letter of `topic` cannot be replayed; empty when it can."""
    if not letter.queue:
        return "it does not say which queue it came from"
    if letter.queue == dead_letters(topic).name:
        return "it came from the dead letters themselves"
    if letter.queue != topic and not letter.queue.startswith((f"{topic}.", f"{topic}_")):
        return f"it came from {letter.queue}, which is no queue of {topic}"
    return ""


def _request(body: bytes) -> Mapping[str, object]:
    """The inner message of an envelope, as far as it can be read."""
    try:
        inner = _decode(body).get("oslo.message")
        return _decode(inner) if isinstance(inner, str) else {}
    except UNREADABLE:
        return {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _time(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
