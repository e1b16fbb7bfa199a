"""The socket of a connection to an AMQP broker, shared by aiormq and by our own hot path.

aiormq opens, authenticates, declares and closes, through the stream it gets from a `TransportFactory`, its extension point for that.
Frames of channels that have a `FrameReceiver` here go to it, past aiormq; everything else reaches aiormq's stream. What
is sent in one turn of the event loop goes out in one write.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from rpc import frames

_STREAM_LIMIT: Final = 1 << 20  # bytes that wait for aiormq
_WRITE_LIMIT: Final = 1 << 20  # bytes that wait for the socket before publishers wait


class FrameReceiver(Protocol):
    """Takes the hot frames of one channel."""

    def feed(self, data: bytes, at: int, end: int) -> int:
        """Take whole frames of this channel from data[at:end], and say where the first stands that was not taken."""
        ...

    def settle(self) -> None:
        """What was gathered in this turn of the loop is sent now: the last chance to add to it."""
        ...

    def lost(self) -> None:
        """No frame will come any more."""
        ...


class Wire(asyncio.Protocol):
    """One socket: incoming frames by channel, outgoing ones in batches. `on_lost` hears of its end before anybody else."""

    def __init__(self, loop: asyncio.AbstractEventLoop, heartbeat: float) -> None:
        self.stream: Final = asyncio.StreamReader(limit=_STREAM_LIMIT, loop=loop)
        self.adapter: Final = asyncio.StreamReaderProtocol(self.stream, loop=loop)
        self.receivers: Final[dict[int, FrameReceiver]] = {}
        self.on_lost: Callable[[Exception | None], None] | None = None
        self.loop: Final = loop
        self._heartbeat = heartbeat
        self._fed = loop.time()
        self._rest = b""
        self._out: list[bytes] = []
        self._socket: asyncio.Transport | None = None
        self.is_held = False  # must publishers wait, for the socket or for a broker that is short of memory or disk?
        self._is_full = False
        self._is_blocked = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._settling: list[FrameReceiver] = []

    async def room(self) -> None:
        """Wait until publishers may go on."""
        while self.is_held:
            turn = self.loop.create_future()
            self._waiting.append(turn)
            await turn

    def send(self, data: bytes) -> None:
        """Send with everything else of this turn of the loop."""
        if not self._out and not self._settling:
            self.loop.call_soon(self.flush)
        self._out.append(data)

    def settle_later(self, receiver: FrameReceiver) -> None:
        """Ask this receiver, at the end of the turn, for what it has gathered."""
        if not self._out and not self._settling:
            self.loop.call_soon(self.flush)
        self._settling.append(receiver)

    def flush(self) -> None:
        """Write what was sent."""
        for receiver in self._settling:
            receiver.settle()  # and what it sends goes out below: no other flush need be ordered
        self._settling.clear()
        data = b"".join(self._out)
        self._out.clear()
        if data and self._socket is not None:
            try:
                self._socket.write(data)
            except RuntimeError as error:
                # aiormq has closed this end already, since the broker closed its own.
                self._end(error)

    def abandon(self) -> None:
        """Hand out no more frames, and tell the receivers."""
        for receiver in list(self.receivers.values()):
            receiver.lost()
        self.receivers.clear()

    def data_received(self, data: bytes) -> None:
        """Hand every whole frame to whom it belongs."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        receivers = self.receivers
        slow: list[bytes] = []
        while end - at >= frames.OVERHEAD:
            _, channel, size = frames.frame_at(data, at)
            after = at + frames.OVERHEAD + size
            if after > end:
                break
            receiver = receivers.get(channel)
            taken = at if receiver is None else receiver.feed(data, at, end)
            if taken == at:
                if not channel:
                    self._note(data, at)
                slow.append(data[at:after])
                taken = after
            at = taken
        self._rest = data[at:] if at < end else b""
        if slow:
            self._fed = self.loop.time()
            self.adapter.data_received(b"".join(slow))
        elif self._heartbeat and self.loop.time() - self._fed > self._heartbeat / 2:
            # aiormq sees nothing of the hot frames, and gives a silent connection up.
            self._fed = self.loop.time()
            self.adapter.data_received(frames.HEARTBEAT)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._socket = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        self._socket.set_write_buffer_limits(high=_WRITE_LIMIT)
        self.adapter.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._end(error)
        self._is_full = self._is_blocked = False
        self._go_on()
        self.adapter.connection_lost(error)

    def eof_received(self) -> bool | None:
        """The broker sends nothing more."""
        return self.adapter.eof_received()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._is_full = self.is_held = True
        self.adapter.pause_writing()

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self._is_full = False
        self.adapter.resume_writing()
        self._go_on()

    def _end(self, error: Exception | None) -> None:
        self._socket = None
        if self.on_lost is not None:
            self.on_lost(error)
        self.abandon()

    def _note(self, data: bytes, at: int) -> None:
        """A broker short of memory or disk says so on channel 0, and says when it is well again."""
        method = data[at + 7 : at + 11]
        if data[at] == frames.METHOD and method in (frames.BLOCKED, frames.UNBLOCKED):
            self._is_blocked = method == frames.BLOCKED
            self._go_on()

    def _go_on(self) -> None:
        self.is_held = self._is_full or self._is_blocked
        if not self.is_held:
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(None)


class WireFactory(TransportFactory):
    """Opens the socket of one connection as a Wire."""

    def __init__(self, context: ssl.SSLContext | None, heartbeat: float) -> None:
        self.wire: Wire | None = None
        self._context = context
        self._heartbeat = heartbeat

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A stream for aiormq; raises AMQPConnectionError."""
        options.pop("ssl_context_provider", None)
        if url.host is None or url.port is None:
            raise AMQPConnectionError("no host and port to connect to")
        loop = asyncio.get_running_loop()
        try:
            socket, wire = await loop.create_connection(
                lambda: Wire(loop, self._heartbeat), url.host, url.port, ssl=self._context, **options
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        self.wire = wire
        return wire.stream, asyncio.StreamWriter(socket, wire.adapter, wire.stream, loop)
