"""TCP's segments, as bytes and as values (RFC 9293)."""

import struct
from typing import Final

from novaflow.models import Value
from novaflow.virt.wire.frames import HOPS, TCP, Packet, checksum, write_packet

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
MSS: Final = 1460
MODULUS: Final = 2**32

_HEADER: Final = struct.Struct("!HHIIBBHHH")


class Segment(Value, frozen=True, kw_only=True):
    """A segment of the guest to us, or of us to the guest: `mac`, `ip` and `port` are the guest's in both."""

    mac: bytes
    ip: bytes
    port: int
    our_ip: bytes
    our_port: int
    seq: int
    ack: int
    flags: int
    window: int = 65535
    data: bytes = b""

    def answered(self, seq: int, ack: int, flags: int, data: bytes = b"") -> "Segment":
        """One that goes the other way on the same connection."""
        return Segment(
            mac=self.mac, ip=self.ip, port=self.port, our_ip=self.our_ip, our_port=self.our_port,
            seq=seq, ack=ack, flags=flags, data=data,
        )  # fmt: skip


def read_segment(packet: Packet) -> Segment | None:
    """The segment in a packet of TCP."""
    body = packet.body
    if packet.protocol != TCP or len(body) < _HEADER.size:
        return None
    port, our_port, seq, ack, offset, flags, window, _, _ = _HEADER.unpack_from(body)
    data_at = (offset >> 4) * 4
    if not _HEADER.size <= data_at <= len(body):
        return None
    return Segment(
        mac=packet.mac, ip=packet.ip, port=port, our_ip=packet.our_ip, our_port=our_port,
        seq=seq, ack=ack, flags=flags, window=window, data=body[data_at:],
    )  # fmt: skip


def write_segment(segment: Segment, hops: int = HOPS) -> bytes:
    """The frame in which we send it; it lives for so many hops."""
    options = struct.pack("!BBH", 2, 4, MSS) if segment.flags & SYN else b""
    offset = (_HEADER.size + len(options)) // 4 << 4
    fields = (segment.our_port, segment.port, segment.seq, segment.ack, offset, segment.flags, segment.window)
    rest = options + segment.data
    pseudo = segment.our_ip + segment.ip + struct.pack("!HH", TCP, _HEADER.size + len(rest))
    body = _HEADER.pack(*fields, checksum(pseudo + _HEADER.pack(*fields, 0, 0) + rest), 0) + rest
    packet = Packet(mac=segment.mac, ip=segment.ip, our_ip=segment.our_ip, protocol=TCP, body=body)
    return write_packet(packet, hops)


def refusal(segment: Segment) -> Segment | None:
    """The reset for what belongs to no connection (3.5.2); none for a reset."""
    if segment.flags & RST:
        return None
    length = len(segment.data) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
    seq = segment.ack if segment.flags & ACK else 0
    return segment.answered(seq, (segment.seq + length) % MODULUS, RST | ACK)
