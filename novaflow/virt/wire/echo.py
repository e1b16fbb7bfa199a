"""The gateway answers pings, so that a guest can see that its network is up."""

from typing import Final

from novaflow.virt.wire.frames import HOPS, ICMP, Packet, checksum, write_packet

_ASKS: Final = 8
_SHORTEST: Final = 8


def answer_ping(packet: Packet, gateway: bytes) -> bytes | None:
    """The echo of a ping to the gateway."""
    body = packet.body
    if packet.protocol != ICMP or packet.our_ip != gateway or len(body) < _SHORTEST or body[0] != _ASKS:
        return None
    echo = bytes(4) + body[4:]
    echo = bytes(2) + checksum(echo).to_bytes(2) + body[4:]
    answer = Packet(mac=packet.mac, ip=packet.ip, our_ip=packet.our_ip, protocol=ICMP, body=echo)
    return write_packet(answer, HOPS)
