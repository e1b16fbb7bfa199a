"""One guest's wire: the datagram socket to its QEMU, and the guest's connections on it.

A guest can send what it likes and as much as it likes. So a station looks at FRAMES of its frames each TICK and leaves the rest in
the socket, where QEMU keeps and at last drops them; it has CONNECTIONS at a time, and none that has been silent for IDLE seconds.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from novaflow.virt.wire.conversation import Conversation, Phase
from novaflow.virt.wire.dhcp import answer_dhcp
from novaflow.virt.wire.echo import answer_ping
from novaflow.virt.wire.frames import LARGEST, METADATA, answer_arp, read_packet
from novaflow.virt.wire.laid import LaidWire
from novaflow.virt.wire.segments import ACK, RST, SYN, Segment, read_segment, refusal, write_segment
from services.compute.metadata.transport import GuestTransport

PORT: Final = 80
FRAMES: Final = 64
TICK: Final = 0.05  # seconds
CONNECTIONS: Final = 16
IDLE: Final = 60.0  # seconds
GRACE: Final = 1.0  # seconds in which the rest of an answer goes to a guest that has said all it had to say
_Key = tuple[bytes, int, bytes, int]


class Station:
    """The network of one guest, until closed.

    Each connection to the metadata service gets a protocol of its own; to any other it is refused, for nobody else is there.

    Raises OSError when the socket cannot be made.
    """

    def __init__(self, server_id: str, wire: LaidWire, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._server_id = server_id
        self._wire = wire
        self._protocol = protocol
        self._open: dict[_Key, GuestTransport] = {}
        self._loop = asyncio.get_running_loop()
        self._ticking: asyncio.TimerHandle | None = None
        self._left = FRAMES
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            Path(wire.host_end).unlink(missing_ok=True)
            self._socket.bind(wire.host_end)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Leave the wire; connections end as if the host had gone."""
        if self._ticking:
            self._ticking.cancel()
        self._loop.remove_reader(self._socket)
        for key in list(self._open):
            self._forget(key, ConnectionResetError("the host leaves"))
        self._socket.close()

    def _readable(self) -> None:
        while self._left:
            try:
                frame = self._socket.recv(LARGEST)
            except OSError:  # nothing more, or nobody there
                break
            self._left -= 1
            self._take(frame)
        if not self._left:
            self._loop.remove_reader(self._socket)
        self._tick_later()

    def _take(self, frame: bytes) -> None:
        packet = read_packet(frame)
        if packet is None:
            answer = answer_arp(frame, self._wire.gateway)
        else:
            answer = answer_dhcp(packet, self._wire) or answer_ping(packet, self._wire.gateway)
        segment = read_segment(packet) if packet else None
        if answer:
            self._put(answer)
        elif segment:
            self._receive(segment)

    def _receive(self, segment: Segment) -> None:
        key = (segment.our_ip, segment.our_port, segment.ip, segment.port)
        transport = self._open.get(key) or self._begin(key, segment)
        if transport is not None:
            self._hear(transport, segment)
            if transport.conversation.phase is Phase.OVER:  # at once: the guest may open another
                self._forget(key, None)
        elif refused := refusal(segment):
            self._put(write_segment(refused))

    def _begin(self, key: _Key, segment: Segment) -> GuestTransport | None:
        is_ours = (segment.our_ip, segment.our_port) == (METADATA, PORT)
        if not is_ours or segment.flags & (SYN | ACK | RST) != SYN or len(self._open) >= CONNECTIONS:
            return None
        conversation = Conversation(segment, secrets.randbits(32), self._loop.time())
        protocol = self._protocol()
        transport = self._open[key] = GuestTransport(self._server_id, conversation, protocol, self._send)
        protocol.connection_made(transport)
        return transport

    def _hear(self, transport: GuestTransport, segment: Segment) -> None:
        conversation = transport.conversation
        had_end = conversation.has_end
        data = conversation.receive(segment, self._loop.time(), takes=not transport.is_paused)
        protocol = transport.get_protocol()
        if data and not transport.is_closing():
            transport.owes_answer = True
            protocol.data_received(data)
        if conversation.has_end and not had_end and not protocol.eof_received() and not transport.owes_answer:
            transport.close()
        self._send(transport)
        transport.flow()

    def _send(self, transport: GuestTransport) -> None:
        for segment in transport.conversation.outgoing(self._loop.time()):
            self._put(write_segment(segment, transport.hops))
        self._tick_later()

    def _put(self, frame: bytes) -> None:
        with contextlib.suppress(OSError):  # QEMU is gone or behind: as on any wire, frames are lost
            self._socket.sendto(frame, self._wire.qemu_end)

    def _tick_later(self) -> None:
        if self._ticking is None and (self._open or self._left < FRAMES):
            self._ticking = self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        if not self._left:
            self._loop.add_reader(self._socket, self._readable)
        self._left = FRAMES
        now = self._loop.time()
        for key, transport in list(self._open.items()):
            if now - transport.conversation.touched > IDLE:
                transport.abort()
            elif transport.has_answered(now, GRACE):
                transport.close()
            self._send(transport)
            if transport.conversation.phase is Phase.OVER:
                self._forget(key, None)
        self._tick_later()

    def _forget(self, key: _Key, why: Exception | None) -> None:
        self._open.pop(key).get_protocol().connection_lost(why)
