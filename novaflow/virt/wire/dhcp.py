"""DHCP for the one guest of a wire (RFC 2131, RFC 3442): it gets the address that the cloud has given it, and the way to the metadata service."""

import ipaddress
import struct
from collections.abc import Iterator
from typing import Final

from novaflow.models import Value
from novaflow.virt.wire.frames import BROADCAST, METADATA, UDP, Packet, write_packet

LEASE_SECONDS: Final = 86400
MTU: Final = 1500

_UDP: Final = struct.Struct("!HHHH")
_BOOTP: Final = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE: Final = bytes.fromhex("63825363")
_SERVER: Final = 67
_CLIENT: Final = 68
_ASKS: Final = 1
_ANSWERS: Final = 2
_TYPE, _MASK, _ROUTER, _MTU, _WANTED, _LEASE, _SERVER_ID, _ROUTES = 53, 1, 3, 26, 50, 51, 54, 121
_DISCOVER, _OFFER, _REQUEST, _ACK, _NAK, _INFORM = 1, 2, 3, 5, 6, 8
_PAD, _END = 0, 255
_BROADCAST_FLAG: Final = 0x8000


class Wire(Value, frozen=True, kw_only=True):
    """What a guest's network card is given: its MAC, its address, and the subnet, whose first address is the gateway's."""

    mac: str
    ip: str
    subnet: str

    @property
    def gateway(self) -> bytes:
        """The gateway's address, as it is in packets."""
        return ipaddress.ip_network(self.subnet)[1].packed


def answer_dhcp(packet: Packet, wire: Wire) -> bytes | None:
    """The frame that answers a question of the guest's DHCP client; None when it asks another server, or nothing."""
    asked = packet.body[_UDP.size :]
    if packet.protocol != UDP or len(asked) < _BOOTP.size or packet.our_ip not in (BROADCAST, wire.gateway):
        return None
    _, port, _, _ = _UDP.unpack_from(packet.body)
    operation, hardware, length, _, transaction, _, flags, client, *_, mac, _, _, cookie = _BOOTP.unpack_from(asked)
    if (port, operation, hardware, length, cookie) != (_SERVER, _ASKS, 1, 6, _COOKIE):
        return None
    options = dict(_options(asked[_BOOTP.size :]))
    kind = _answer_to(options, client, wire)
    if kind is None:
        return None
    ip = ipaddress.ip_address(wire.ip).packed
    yours = bytes(4) if kind == _NAK or options[_TYPE] == bytes([_INFORM]) else ip
    fields = (
        _ANSWERS,
        1,
        6,
        0,
        transaction,
        0,
        flags,
        client if kind == _ACK else bytes(4),
        yours,
        wire.gateway,
        bytes(4),
    )
    reply = _BOOTP.pack(*fields, mac, b"", b"", _COOKIE) + _facts(kind, wire, is_lease=yours == ip)
    udp = _UDP.pack(_SERVER, _CLIENT, _UDP.size + len(reply), 0)  # 0: no checksum, as UDP allows
    to = BROADCAST if kind == _NAK or flags & _BROADCAST_FLAG else next(filter(any, (client, yours)), BROADCAST)
    return write_packet(Packet(mac=packet.mac, ip=to, our_ip=wire.gateway, protocol=UDP, body=udp + reply))


def _answer_to(options: dict[int, bytes], client: bytes, wire: Wire) -> int | None:
    ip = ipaddress.ip_address(wire.ip).packed
    if options.get(_SERVER_ID, wire.gateway) != wire.gateway:
        return None  # it takes another server's offer
    match options.get(_TYPE):
        case b"\x01":
            return _OFFER
        case b"\x03":
            return _ACK if options.get(_WANTED, client) == ip else _NAK
        case b"\x08":
            return _ACK
        case _:
            return None


def _facts(kind: int, wire: Wire, *, is_lease: bool) -> bytes:
    subnet = ipaddress.ip_network(wire.subnet)
    facts = {_TYPE: bytes([kind]), _SERVER_ID: wire.gateway}
    if kind != _NAK:
        # Who understands _ROUTES does not look at _ROUTER, so the default route is in both.
        routes = bytes([32]) + METADATA + wire.gateway + bytes([0]) + wire.gateway
        facts |= {_MASK: subnet.netmask.packed, _ROUTER: wire.gateway, _MTU: MTU.to_bytes(2), _ROUTES: routes}
    if is_lease and kind != _NAK:
        facts[_LEASE] = LEASE_SECONDS.to_bytes(4)
    return b"".join(bytes([code, len(value)]) + value for code, value in facts.items()) + bytes([_END])


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        length = data[at + 1] if at + 1 < len(data) else 0
        yield data[at], data[at + 2 : at + 2 + length]
        at += 2 + length
