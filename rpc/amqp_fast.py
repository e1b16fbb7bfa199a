"""The hot path of a session, past aiormq: publishing, confirms, deliveries and acknowledgements as bytes on its Wire."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Container
from typing import Final

from aiormq.channel import Channel

from rpc import frames
from rpc.amqp_path import Deliver, Rejected, SessionLost
from rpc.amqp_wire import Wire
from rpc.envelope import Request
from rpc.errors import Unroutable
from rpc.transport import Assurance, Destination, Message

_log = logging.getLogger(__name__)

_KEPT_METHODS: Final = 4096
_CONFIRMED: Final = Assurance.CONFIRMED
_ROUTED: Final = Assurance.ROUTED


class FastPath:
    """A channel with confirms for what is to be confirmed, one for the rest and for replies, one for consuming.

    `address` says by which exchange and key a destination is reached, `declared` which shared queues are seen to; a body
    has at most `limit` bytes.
    """

    def __init__(
        self,
        wire: Wire,
        confirmed: Channel,
        plain: Channel,
        consuming: Channel,
        *,
        fail: Callable[[Exception | None], None],
        unrouted: Callable[[str], None],
        address: Callable[[Destination], tuple[str, str]],
        declared: Container[str],
        limit: int,
    ) -> None:
        self._wire = wire
        self._fail = fail
        self._unrouted = unrouted
        self._address = address
        self._declared = declared
        self._limit = limit
        wire.on_lost = fail
        self._confirmed = FastChannel(wire, confirmed, fail=fail, unrouted=unrouted)
        self._plain = FastChannel(wire, plain, fail=fail, unrouted=unrouted)
        self._consuming = FastChannel(wire, consuming, fail=fail, unrouted=unrouted, settles=True)
        self._number = plain.number
        self._frame_max = plain.connection.connection_tune.frame_max
        # The method frames to queues by their names, of messages that must be routed and of others.
        self._mandatory: dict[str, bytes] = {}
        self._optional: dict[str, bytes] = {}
        self.origin: Final = self._consuming
        self.flush: Final = wire.flush
        self.room: Final = wire.room

    @property
    def is_held(self) -> bool:
        """Must publishers wait for the broker or the socket?"""
        return self._wire.is_held

    def post(self, to: Destination, message: Message) -> bool:
        """Send a message that is not to be confirmed, at once; see HotPath. The hottest of all: few calls, no layers."""
        assurance = message.assurance
        wire = self._wire
        if assurance is _CONFIRMED or wire.is_held or not (to.is_known or to.name in self._declared):
            return False
        content = message.content
        body = content if isinstance(content, bytes) else content.pack(self._limit)
        message_id = b""
        if assurance is _ROUTED:
            method = self._mandatory.get(to.name) or self._method(to, mandatory=True)
            if isinstance(content, Request) and content.msg_id is not None:
                message_id = content.msg_id.encode()
        else:
            method = self._optional.get(to.name) or self._method(to, mandatory=False)
        wire.send(
            frames.message(
                method,
                self._number,
                body,
                message.headers,
                message.persistent,
                message.ttl,
                message_id,
                self._frame_max,
            )
        )
        return True

    def _method(self, to: Destination, *, mandatory: bool) -> bytes:
        kept = self._mandatory if mandatory else self._optional
        if len(kept) >= _KEPT_METHODS:
            kept.clear()  # reply queues come and go
        method = kept[to.name] = frames.route(self._number, *self._address(to), mandatory=mandatory)
        return method

    def publish(
        self, exchange: str, key: str, message: Message, body: bytes, *, mandatory: bool
    ) -> "asyncio.Future[None] | None":
        """Send a message; see HotPath."""
        channel = self._confirmed if message.assurance is _CONFIRMED else self._plain
        return channel.publish(exchange, key, message, body, mandatory=mandatory)

    def renew(self, confirmed: Channel) -> None:
        """Publish on another channel with confirms from now on; see HotPath."""
        self._confirmed.forsake()
        self._confirmed = FastChannel(self._wire, confirmed, fail=self._fail, unrouted=self._unrouted)

    def expect(self, tag: str, deliver: Deliver, *, is_reply: bool) -> None:
        """Deliveries for this consumer go to `deliver`."""
        (self._plain if is_reply else self._consuming).receivers[tag.encode()] = deliver


class FastChannel:
    """One channel. Its deliveries go to `receivers`, by consumer tag; confirms, returns and settlements are its own business.

    `fail` is told of a frame that cannot be; `unrouted` of the id of a message that no queue took and nobody waits for.
    Where it `settles`, every delivery must be settled; elsewhere none can be.
    """

    def __init__(
        self,
        wire: Wire,
        channel: Channel,
        *,
        fail: Callable[[Exception | None], None],
        unrouted: Callable[[str], None],
        settles: bool = False,
    ) -> None:
        self.receivers: Final[dict[bytes, Deliver]] = {}
        self._wire = wire
        self._number = channel.number
        self._frame_max = channel.connection.connection_tune.frame_max
        self._fail = fail
        self._unrouted = unrouted
        self._sent = 0  # publishes on a channel with confirms
        self._unconfirmed: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._returned: set[int] = set()
        self._is_lost = False
        # The content that is coming in: for a consumer, or back to us.
        self._deliver: Deliver | None = None
        self._tag = 0
        self._is_again = False
        self._is_return = False
        self._missing = 0
        self._properties = b""
        self._pieces: list[bytes] = []
        # Deliveries in their order that are not settled yet, and those of them that will be at the end of the turn.
        self._settles = settles
        self._open: dict[int, None] = {}
        self._done: set[int] = set()
        wire.receivers[self._number] = self

    def publish(
        self, exchange: str, key: str, message: Message, body: bytes, *, mandatory: bool
    ) -> asyncio.Future[None] | None:
        """Send a message; when it is to be confirmed, the future says when that is done or why not."""
        content = message.content
        confirm: asyncio.Future[None] | None = None
        message_id = b""
        if message.assurance is _CONFIRMED:
            confirm = self._wire.loop.create_future()
            if self._is_lost:
                confirm.set_exception(SessionLost())
                return confirm
            self._sent += 1
            self._unconfirmed.append((self._sent, confirm))
            message_id = b"%d" % self._sent
        elif mandatory and isinstance(content, Request) and content.msg_id is not None:
            message_id = content.msg_id.encode()
        self._wire.send(
            frames.message(
                frames.route(self._number, exchange, key, mandatory=mandatory),
                self._number,
                body,
                message.headers,
                message.persistent,
                message.ttl,
                message_id,
                self._frame_max,
            )
        )
        return confirm

    def ack(self, tag: int) -> None:
        """A delivery is dealt with; told to the broker at the end of this turn of the loop, with others."""
        if tag in self._open:
            if not self._done:
                self._wire.settle_later(self)
            self._done.add(tag)

    def nack(self, tag: int) -> None:
        """Give a delivery back to its queue."""
        if tag in self._open:
            del self._open[tag]
            self._done.discard(tag)
            self._wire.send(frames.nack(self._number, tag))

    def settle(self) -> None:
        """Acknowledge what is done: the oldest deliveries with one frame, what was overtaken one by one.

        A frame for many must name a delivery that is still open, or the broker closes the channel.
        """
        done, opened = self._done, self._open
        oldest = list(itertools.takewhile(done.__contains__, opened))
        if oldest:
            self._wire.send(frames.ack(self._number, oldest[-1], multiple=True))
            done.difference_update(oldest)
        for tag in done:
            self._wire.send(frames.ack(self._number, tag, multiple=False))
        for tag in (*oldest, *done):
            del opened[tag]
        done.clear()

    def lost(self) -> None:
        """The connection is gone, and with it every confirm."""
        self._is_lost = True
        self._refuse(SessionLost)

    def forsake(self) -> None:
        """Wait for no confirm any more."""
        self._wire.receivers.pop(self._number, None)
        self._refuse(Rejected)

    def _refuse(self, why: type[Exception]) -> None:
        for _, confirm in self._unconfirmed:
            if not confirm.done():
                confirm.set_exception(why())
        self._unconfirmed.clear()

    def feed(self, data: bytes, at: int, end: int) -> int:  # noqa: C901  # one loop, so that a message costs no calls
        """Take the frames from data[at:] on; see FrameReceiver. A whole message in one go, since that is what comes."""
        number = self._number
        try:
            while end - at >= frames.OVERHEAD:
                kind, channel, size = frames.frame_at(data, at)
                start = at + 7
                after = start + size + 1
                if after > end or channel != number:
                    break
                if kind == frames.BODY:
                    if size < self._missing or self._pieces:
                        self._add(data[start : after - 1])
                    elif self._deliver is not None:
                        if self._settles:
                            self._open[self._tag] = None
                        self._deliver(self._properties, data[start : after - 1], self._tag, self._is_again)
                    else:
                        self._complete(data[start : after - 1])
                elif kind == frames.HEADER:
                    self._missing = frames.long_at(data, start + 4)[0]
                    self._properties = data[start + 12 : after - 1]
                    self._pieces.clear()
                    if not self._missing:
                        self._complete(b"")
                elif data[start : start + 4] == frames.DELIVER:
                    name = start + 5 + data[start + 4]
                    self._deliver = self.receivers.get(data[start + 5 : name])
                    self._tag = frames.long_at(data, name)[0]
                    self._is_again = data[name + 8] == 1
                    self._is_return = False
                elif not self._method(data, start):
                    break
                at = after
        except frames.UNREADABLE as error:
            self._fail(error)
            return end
        return at

    def _method(self, data: bytes, start: int) -> bool:
        method = data[start : start + 4]
        if method in (frames.ACK, frames.NACK):
            tag = frames.long_at(data, start + 4)[0]
            self._confirm(tag, is_multiple=data[start + 12] & 1 == 1, is_taken=method == frames.ACK)
            return True
        if method == frames.RETURN:
            self._deliver = None
            self._is_return = True
            return True
        return False

    def _add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._missing -= len(piece)
        if self._missing <= 0:
            whole = b"".join(self._pieces)
            self._pieces.clear()
            self._complete(whole)

    def _complete(self, body: bytes) -> None:
        if self._deliver is not None:
            if self._settles:
                self._open[self._tag] = None
            self._deliver(self._properties, body, self._tag, self._is_again)
        elif self._is_return:
            text = frames.message_id_of(self._properties).decode(errors="replace")
            if text.isdecimal() and len(text) < 20 and self._sent:
                self._returned.add(int(text))
            else:
                self._unrouted(text)
        else:
            if self._settles:
                # The broker's to give to others; an acknowledgement of many must not have it among them.
                self._open[self._tag] = None
            _log.debug("delivery %d is for a consumer that is no more", self._tag)

    def _confirm(self, tag: int, *, is_multiple: bool, is_taken: bool) -> None:
        waiting = self._unconfirmed
        if is_multiple or (waiting and waiting[0][0] == tag):
            while waiting and waiting[0][0] <= tag:
                self._conclude(*waiting.popleft(), is_taken=is_taken)
            return
        for place, (number, confirm) in enumerate(waiting):
            if number == tag:
                del waiting[place]
                self._conclude(number, confirm, is_taken=is_taken)
                return

    def _conclude(self, number: int, confirm: asyncio.Future[None], *, is_taken: bool) -> None:
        is_returned = number in self._returned
        self._returned.discard(number)
        if confirm.done():
            return
        if is_returned:
            confirm.set_exception(Unroutable())
        elif is_taken:
            confirm.set_result(None)
        else:
            confirm.set_exception(Rejected())
