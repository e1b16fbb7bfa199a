"""What is on the wire: Ethernet, ARP, IPv4, and what is in it, as bytes and as values.

Only what a network needs that has one guest and leads nowhere. Whatever else the guest sends, and whatever is cut short or makes
no sense, is None: nobody is there to take it. Checksums of what comes are not looked at, since nothing on this wire can change a bit.
"""

import struct
from typing import Final

from novaflow.models import Value

OUR_MAC: Final = bytes.fromhex("0200a9fea9fe")
METADATA: Final = bytes((169, 254, 169, 254))
BROADCAST: Final = b"\xff\xff\xff\xff"
LARGEST: Final = 65535  # bytes of a frame
HOPS: Final = 64  # IP's time to live, unless somebody says otherwise
ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17

_ETHERNET: Final = struct.Struct("!6s6sH")
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IS_IPV4: Final = 0x0800
_IS_ARP: Final = 0x0806
_ASKS: Final = 1
_ANSWERS: Final = 2
_NEVER_FRAGMENT: Final = 0x4000
_FRAGMENTED: Final = 0x3FFF


class Packet(Value, frozen=True, kw_only=True):
    """What is in an IPv4 packet: `protocol` is ICMP, TCP or UDP. `mac` and `ip` are the guest's, `our_ip` is whom it speaks to, in both ways."""

    mac: bytes
    ip: bytes
    our_ip: bytes
    protocol: int
    body: bytes


def answer_arp(frame: bytes, gateway: bytes) -> bytes | None:
    """The answer when the guest asks who has the gateway's address, or the metadata service's."""
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    _, source, kind = _ETHERNET.unpack_from(frame)
    hardware, protocol, _, _, operation, mac, ip, _, wanted = _ARP.unpack_from(frame, _ETHERNET.size)
    if (kind, hardware, protocol, operation) != (_IS_ARP, 1, _IS_IPV4, _ASKS) or wanted not in (gateway, METADATA):
        return None
    head = _ETHERNET.pack(source, OUR_MAC, _IS_ARP)
    return head + _ARP.pack(1, _IS_IPV4, 6, 4, _ANSWERS, OUR_MAC, wanted, mac, ip)


def read_packet(frame: bytes) -> Packet | None:
    """The packet in a frame; None for fragments too."""
    if len(frame) < _ETHERNET.size + _IPV4.size:
        return None
    _, mac, kind = _ETHERNET.unpack_from(frame)
    first, _, length, _, fragment, _, protocol, _, ip, our_ip = _IPV4.unpack_from(frame, _ETHERNET.size)
    begin, end = _ETHERNET.size + (first & 15) * 4, _ETHERNET.size + length
    if (
        kind != _IS_IPV4
        or first >> 4 != 4
        or first & 15 < 5
        or fragment & _FRAGMENTED
        or not begin <= end <= len(frame)
    ):
        return None
    return Packet(mac=mac, ip=ip, our_ip=our_ip, protocol=protocol, body=frame[begin:end])


def write_packet(packet: Packet, hops: int = HOPS) -> bytes:
    """The frame in which we send it to the guest."""
    facts = (0x45, 0, _IPV4.size + len(packet.body), 0, _NEVER_FRAGMENT, hops, packet.protocol)
    sum_ = checksum(_IPV4.pack(*facts, 0, packet.our_ip, packet.ip))
    head = _ETHERNET.pack(packet.mac, OUR_MAC, _IS_IPV4)
    return head + _IPV4.pack(*facts, sum_, packet.our_ip, packet.ip) + packet.body


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
