"""A guest's DHCP client and the server on its wire."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.virt.wire.dhcp import Wire, answer_dhcp
from novaflow.virt.wire.echo import answer_ping
from novaflow.virt.wire.frames import BROADCAST, HOPS, ICMP, METADATA, UDP, Packet, answer_arp, checksum, read_packet
from novaflow.virt.wire.segments import read_segment
from tests.support.guest_wire import GATEWAY, IP, MAC

WIRE = Wire(mac="fa:16:3e:00:00:07", ip="10.0.0.7", subnet="10.0.0.0/16")
OTHER = bytes((10, 0, 0, 99))
DISCOVER, OFFER, REQUEST, ACK, NAK, RELEASE, INFORM = 1, 2, 3, 5, 6, 7, 8


def ask(kind: int, *, client: bytes = bytes(4), to: bytes = BROADCAST, **options: bytes) -> Packet:
    """What a client sends; options by number."""
    body = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0xDECADE, 0, 0) + client + bytes(12) + MAC.ljust(16, b"\0") + bytes(192)
    body += bytes.fromhex("63825363") + bytes((53, 1, kind))
    for name, value in options.items():
        body += bytes((int(name[1:]), len(value))) + value
    body += b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
    return Packet(mac=MAC, ip=client, our_ip=to, protocol=UDP, body=udp)


def answered(packet: Packet) -> tuple[bytes, bytes, dict[int, bytes]]:
    """To whom, the address given, and the options."""
    frame = answer_dhcp(packet, WIRE)
    assert frame is not None
    answer = read_packet(frame)
    assert answer is not None
    reply = answer.body[8:]
    assert reply[:4] == bytes((2, 1, 6, 0))
    assert reply[4:8] == packet.body[12:16]
    options, at = {}, 240
    while reply[at] != 255:
        options[reply[at]] = reply[at + 2 : at + 2 + reply[at + 1]]
        at += 2 + reply[at + 1]
    return frame[30:34], reply[16:20], options


def test_a_guest_is_offered_its_own_address_and_gets_it() -> None:
    _, offered, _ = answered(ask(DISCOVER))
    to, given, options = answered(ask(REQUEST, _50=IP, _54=GATEWAY))

    assert offered == given == to == IP
    assert options[53] == bytes((ACK,))
    assert options[1] == bytes((255, 255, 0, 0))
    assert options[3] == options[54] == GATEWAY
    assert int.from_bytes(options[51]) > 0


def test_the_way_to_the_metadata_service_and_everywhere_else_is_the_gateway() -> None:
    _, _, options = answered(ask(REQUEST, _50=IP))

    assert options[121] == bytes((32,)) + METADATA + GATEWAY + bytes((0,)) + GATEWAY


def test_a_lease_is_renewed_by_whom_it_belongs_to() -> None:
    assert answered(ask(REQUEST, client=IP, to=GATEWAY))[2][53] == bytes((ACK,))


def test_another_address_is_refused_for_all_to_hear() -> None:
    to, given, options = answered(ask(REQUEST, _50=OTHER))

    assert (to, given, options[53]) == (BROADCAST, bytes(4), bytes((NAK,)))
    assert 51 not in options


def test_who_has_an_address_is_told_the_rest_without_a_lease() -> None:
    to, given, options = answered(ask(INFORM, client=IP))

    assert (to, given) == (IP, bytes(4))
    assert 51 not in options


@pytest.mark.parametrize("packet", [ask(REQUEST, _54=OTHER), ask(RELEASE), ask(9), ask(DISCOVER, to=OTHER)])
def test_what_is_not_for_us_is_not_answered(packet: Packet) -> None:
    assert answer_dhcp(packet, WIRE) is None


def test_the_gateway_answers_pings_and_nobody_else_does() -> None:
    ping = bytes((8, 0)) + checksum(bytes((8, 0, 0, 0)) + b"12345678").to_bytes(2) + b"12345678"

    def sent_to(ip: bytes) -> Packet:
        return Packet(mac=MAC, ip=IP, our_ip=ip, protocol=ICMP, body=ping)

    frame = answer_ping(sent_to(GATEWAY), GATEWAY)

    assert frame is not None
    assert (frame[22], frame[34], checksum(frame[34:]), frame[42:]) == (HOPS, 0, 0, b"12345678"[4:])
    assert answer_ping(sent_to(OTHER), GATEWAY) is None


@given(st.binary(max_size=400), st.binary(max_size=60))
def test_no_frame_is_too_strange(body: bytes, options: bytes) -> None:
    packet = Packet(mac=MAC, ip=IP, our_ip=BROADCAST, protocol=UDP, body=ask(DISCOVER).body[:-1] + options)

    answer_dhcp(packet, WIRE)
    for kind in (b"\x08\x00", b"\x08\x06"):
        frame = bytes(12) + kind + body
        answer_arp(frame, GATEWAY)
        found = read_packet(frame)
        if found:
            answer_dhcp(found, WIRE)
            answer_ping(found, GATEWAY)
            read_segment(found)
