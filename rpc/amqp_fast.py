"""The hot path of a session, past aiormq: publishing, confirms, deliveries and acknowledgements as bytes on its Wire."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from aiormq.channel import Channel

from rpc import frames
from rpc.amqp_path import Deliver, Rejected, SessionLost
from rpc.amqp_wire import Wire
from rpc.envelope import Request
from rpc.errors import Unroutable
from rpc.transport import Assurance, Message

_log = logging.getLogger(__name__)


class FastPath:
    """A channel with confirms for what is to be confirmed, one for the rest and for replies, one for consuming."""

    def __init__(
        self,
        wire: Wire,
        confirmed: Channel,
        plain: Channel,
        consuming: Channel,
        *,
        fail: Callable[[Exception | None], None],
        unrouted: Callable[[str], None],
    ) -> None:
        self._wire = wire
        self._fail = fail
        self._unrouted = unrouted
        wire.on_lost = fail
        self._confirmed = FastChannel(wire, confirmed, fail=fail, unrouted=unrouted)
        self._plain = FastChannel(wire, plain, fail=fail, unrouted=unrouted)
        self._consuming = FastChannel(wire, consuming, fail=fail, unrouted=unrouted)
        self.ack: Final = self._consuming.ack
        self.nack: Final = self._consuming.nack
        self.flush: Final = wire.flush
        self.room: Final = wire.room

    @property
    def is_held(self) -> bool:
        """Must publishers wait for the broker or the socket?"""
        return self._wire.is_held

    def publish(
        self, exchange: str, key: str, message: Message, body: bytes, *, mandatory: bool
    ) -> "asyncio.Future[None] | None":
        """Send a message; see HotPath."""
        channel = self._confirmed if message.assurance is Assurance.CONFIRMED else self._plain
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
    """

    def __init__(
        self, wire: Wire, channel: Channel, *, fail: Callable[[Exception | None], None], unrouted: Callable[[str], None]
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
        # Acknowledgements: all up to `_settled` are sent, `_early` beyond it too, `_done` go out at the end of the turn.
        self._settled = 0
        self._early: set[int] = set()
        self._done: set[int] = set()
        wire.receivers[self._number] = self

    def publish(
        self, exchange: str, key: str, message: Message, body: bytes, *, mandatory: bool
    ) -> asyncio.Future[None] | None:
        """Send a message; when it is to be confirmed, the future says when that is done or why not."""
        content = message.content
        confirm: asyncio.Future[None] | None = None
        if message.assurance is Assurance.CONFIRMED:
            self._sent += 1
            message_id = b"%d" % self._sent
            confirm = self._wire.loop.create_future()
            if self._is_lost:
                confirm.set_exception(SessionLost())
                return confirm
            self._unconfirmed.append((self._sent, confirm))
        elif mandatory and isinstance(content, Request) and content.msg_id is not None:
            message_id = content.msg_id.encode()
        else:
            message_id = b""
        ttl = message.ttl
        self._wire.send(
            frames.route(self._number, exchange, key, mandatory)
            + frames.content(
                self._number,
                body,
                message.headers,
                message.persistent,
                None if ttl is None else frames.milliseconds(ttl),
                message_id,
                self._frame_max,
            )
        )
        return confirm

    def ack(self, tag: int) -> None:
        """A delivery is dealt with; told to the broker at the end of this turn of the loop, with others."""
        if not self._done:
            self._wire.settle_later(self)
        self._done.add(tag)

    def nack(self, tag: int) -> None:
        """Give a delivery back to its queue."""
        self._early.add(tag)
        self._wire.send(frames.nack(self._number, tag))

    def settle(self) -> None:
        """Acknowledge what is done: its unbroken beginning with one frame, what is beyond one by one.

        A frame for many must name a delivery that is still open, or the broker closes the channel.
        """
        done, early = self._done, self._early
        reached, last = self._settled, 0
        while True:
            following = reached + 1
            if following in done:
                done.discard(following)
                last = following
            elif following in early:
                early.discard(following)
            else:
                break
            reached = following
        self._settled = reached
        if last:
            self._wire.send(frames.ack(self._number, last, multiple=True))
        for tag in done:
            self._wire.send(frames.ack(self._number, tag, multiple=False))
        early |= done
        done.clear()

    def lost(self) -> None:
        """The connection is gone, and with it every confirm."""
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

    def feed(self, data: bytes, at: int, end: int) -> int:
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
            self._deliver(self._properties, body, self._tag, self._is_again)
        elif self._is_return:
            text = frames.message_id_of(self._properties).decode(errors="replace")
            if text.isdecimal() and len(text) < 20 and self._sent:
                self._returned.add(int(text))
            else:
                self._unrouted(text)
        else:
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
