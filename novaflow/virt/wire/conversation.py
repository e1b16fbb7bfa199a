"""One TCP connection that a guest opened to us, from our end: segments in, segments out, no I/O.

As small as a server can be on a wire that keeps the order and seldom loses anything: what is out of order is left to the guest
to send again, what we sent is sent again after a while, and at most BURST segments are under way (RFC 9293, without what is optional).
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from novaflow.virt.wire.segments import ACK, FIN, MODULUS, MSS, PSH, RST, SYN, Segment

BURST: Final = 8
AGAIN: Final = 0.3  # seconds before something is sent again; doubles
TRIES: Final = 6
_HALF: Final = 2**31


class Phase(Enum):
    """How far the connection is."""

    OPENING = auto()
    OPEN = auto()
    OVER = auto()


class Conversation:
    """Begun by the guest's SYN. `outgoing` gives what is to be sent now; `now` is seconds on any clock that goes forward."""

    def __init__(self, syn: Segment, first: int, now: float) -> None:
        self.phase = Phase.OPENING
        self.touched = now
        self.has_end = False  # the guest sends nothing more
        self._guest = syn
        self._expected = (syn.seq + 1) % MODULUS
        self._acked = first  # by the guest
        self._next = first  # to be sent
        self._top = (first + 1) % MODULUS  # after the first byte of `_waiting`'s end; the SYN counts as one
        self._waiting = bytearray()  # not acknowledged yet, from the sequence number `_base` on
        self._base = (first + 1) % MODULUS
        self._closes = False
        self._gives_up = False
        self._window = syn.window
        self._owes_ack = False
        self._deadline = now
        self._tries = 0

    @property
    def unsent(self) -> int:
        """Bytes that the guest has not acknowledged."""
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        """Have it sent."""
        if not self._closes:
            self._waiting += data
            self._top = (self._top + len(data)) % MODULUS

    def close(self) -> None:
        """Have our end closed once everything is sent."""
        if not self._closes:
            self._closes = True
            self._top = (self._top + 1) % MODULUS  # the FIN counts as one

    def give_up(self) -> None:
        """Have the guest told that the connection is no more."""
        self._gives_up = True

    def receive(self, segment: Segment, now: float, *, takes: bool = True) -> bytes:
        """What the guest said, as far as it is new; nothing of it is taken unless it `takes` any."""
        self.touched = now
        if segment.flags & RST:
            if segment.seq == self._expected:
                self.phase = Phase.OVER
            return b""
        if segment.flags & SYN:
            self._next = self._acked  # our answer was lost
            return b""
        if segment.flags & ACK:
            self._acknowledge(segment, now)
        return self._take(segment) if takes else b""

    def outgoing(self, now: float) -> Iterator[Segment]:
        """The segments to send now. After TRIES without an answer the connection is over."""
        if self.phase is Phase.OVER:
            return
        if self._next != self._acked and now >= self._deadline:
            self._tries += 1
            self._gives_up |= self._tries > TRIES
            self._next = self._acked
        if self._gives_up:
            self.phase = Phase.OVER
            yield self._segment(self._next, RST | ACK)
            return
        sent = False
        while (segment := self._following()) is not None:
            if self._next == self._acked:
                self._deadline = now + AGAIN * 2**self._tries
            length = len(segment.data) + bool(segment.flags & (SYN | FIN))
            self._next = (self._next + length) % MODULUS
            sent = True
            yield segment
        if self._owes_ack and not sent:
            yield self._segment(self._next, ACK)
        self._owes_ack = False

    def _acknowledge(self, segment: Segment, now: float) -> None:
        gained = (segment.ack - self._acked) % MODULUS
        if gained > (self._top - self._acked) % MODULUS:
            return  # old, or of something never sent
        self._window = segment.window
        if not gained:
            return
        if self.phase is Phase.OPENING:
            self.phase = Phase.OPEN
        drop = min((segment.ack - self._base) % MODULUS, len(self._waiting))
        del self._waiting[:drop]
        self._base = (self._base + drop) % MODULUS
        self._acked = segment.ack
        if (self._next - self._acked) % MODULUS >= _HALF:
            self._next = self._acked
        self._tries, self._deadline = 0, now + AGAIN
        if self._closes and self._acked == self._top and self.has_end:
            self.phase = Phase.OVER

    def _take(self, segment: Segment) -> bytes:
        if not segment.data and not segment.flags & FIN:
            return b""
        self._owes_ack = True
        known = (self._expected - segment.seq) % MODULUS
        if known > len(segment.data) or self.has_end:
            return b""  # nothing new, or from beyond a gap
        data = segment.data[known:]
        self._expected = (self._expected + len(data)) % MODULUS
        if segment.flags & FIN:
            self.has_end = True
            self._expected = (self._expected + 1) % MODULUS
            if self._closes and self._acked == self._top:
                self.phase = Phase.OVER
        return data

    def _following(self) -> Segment | None:
        """The next segment that may be sent."""
        if self._next == (self._base - 1) % MODULUS and self.phase is Phase.OPENING:
            return self._segment(self._next, SYN | ACK)
        if self.phase is Phase.OPENING or self._next == self._top:
            return None
        under_way = (self._next - self._acked) % MODULUS
        begin = (self._next - self._base) % MODULUS
        room = min(self._window, BURST * MSS) - under_way
        data = bytes(self._waiting[begin : begin + max(0, min(MSS, room))])
        is_last = begin + len(data) == len(self._waiting)
        if self._closes and is_last and (data or room > 0 or not self._waiting):
            return self._segment(self._next, ACK | PSH | FIN, data)
        return self._segment(self._next, ACK | PSH, data) if data else None

    def _segment(self, seq: int, flags: int, data: bytes = b"") -> Segment:
        return self._guest.answered(seq, self._expected, flags, data)
