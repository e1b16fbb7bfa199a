"""The other end of a wire: a guest's TCP, strict about what it is sent, on a wire that can lose frames."""

import asyncio
import random
import socket
import struct
from pathlib import Path
from typing import Final

from novaflow.virt.wire.frames import METADATA, OUR_MAC, TCP, checksum
from novaflow.virt.wire.laid import LaidWire
from novaflow.virt.wire.segments import ACK, FIN, MODULUS, PSH, RST, SYN

MAC: Final = bytes.fromhex("fa163e000007")
IP: Final = bytes((10, 0, 0, 7))
GATEWAY: Final = bytes((10, 0, 0, 1))
WITHIN: Final = 20.0  # seconds


def laid(home: Path) -> LaidWire:
    """A wire in this directory."""
    return LaidWire(mac="fa:16:3e:00:00:07", ip="10.0.0.7", subnet="10.0.0.0/16", directory=str(home))


def ethernet(kind: int, body: bytes, to: bytes = OUR_MAC) -> bytes:
    """A frame of the guest."""
    return to + MAC + kind.to_bytes(2) + body


def ipv4(protocol: int, body: bytes, to: bytes = METADATA, ip: bytes = IP) -> bytes:
    """A packet of the guest in its frame."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, 0x4000, 64, protocol, 0, ip, to)
    return ethernet(0x0800, head[:10] + checksum(head).to_bytes(2) + head[12:] + body)


def tcp(
    seq: int, ack: int, flags: int, data: bytes = b"", *, port: int = 40000, to_port: int = 80, to: bytes = METADATA
) -> bytes:
    """A segment of the guest in its frame."""
    return ipv4(TCP, struct.pack("!HHIIBBHHH", port, to_port, seq, ack, 5 << 4, flags, 8192, 0, 0) + data, to)


class Guest:
    """A guest's card and one TCP connection at a time. Of the frames in each direction it loses `loss`, by these dice."""

    def __init__(self, wire: LaidWire, *, loss: float = 0.0, seed: int = 7) -> None:
        self._wire = wire
        self._loss = loss
        self._dice = random.Random(seed)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(wire.qemu_end)
        self._port = 40000
        self.hops: list[int] = []  # of all segments that came

    def close(self) -> None:
        """Switch off."""
        self._socket.close()

    async def send(self, frame: bytes) -> None:
        """Put a frame on the wire."""
        if self._dice.random() >= self._loss:
            await asyncio.get_running_loop().sock_connect(self._socket, self._wire.host_end)
            await asyncio.get_running_loop().sock_sendall(self._socket, frame)

    async def receive(self, within: float = WITHIN) -> bytes:
        """The next frame that is not lost. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                frame = await asyncio.get_running_loop().sock_recv(self._socket, 65535)
                if self._dice.random() >= self._loss:
                    return frame

    async def ask(self, request: bytes, *, half_closes: bool = False) -> bytes:
        """Send a request on a new connection and give all that comes until the host closes it. Raises ConnectionError.

        With `half_closes` the guest says with its request that nothing more will come; on a wire that loses nothing.
        """
        self._port += 1
        seq, expected, got, is_open = 1000, 0, bytearray(), False
        await self.send(tcp(seq, 0, SYN, port=self._port))
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    frame = await self.receive(0.5)
                except TimeoutError:  # it or we have lost something: say again what was not heard
                    unsaid = tcp(seq, expected, PSH | ACK, request, port=self._port)
                    await self.send(unsaid if is_open else tcp(seq, 0, SYN, port=self._port))
                    continue
                port, their_seq, their_ack, flags, data = self._read(frame)
                if port != self._port:
                    continue
                if flags & RST:
                    raise ConnectionResetError("reset")
                if flags & SYN and not is_open:
                    is_open, expected, seq = True, (their_seq + 1) % MODULUS, seq + 1
                    end = FIN if half_closes else 0
                    await self.send(tcp(seq, expected, PSH | ACK | end, request, port=self._port))
                    continue
                if request and their_ack == seq + len(request) + half_closes:
                    seq, request = their_ack, b""
                if their_seq == expected and (data or flags & FIN):
                    got += data
                    expected = (expected + len(data) + bool(flags & FIN)) % MODULUS
                    if flags & FIN:
                        await self.send(tcp(seq, expected, FIN | ACK, port=self._port))
                        return bytes(got)
                if data or flags & FIN:
                    await self.send(tcp(seq, expected, ACK, port=self._port))

    def _read(self, frame: bytes) -> tuple[int, int, int, int, bytes]:
        """Port, sequence numbers, flags and data; the checksums must be right, as a kernel wants them."""
        assert frame[:6] == MAC
        assert frame[6:12] == OUR_MAC
        head, body = frame[14:34], frame[34:]
        assert checksum(head) == 0
        assert checksum(head[12:] + struct.pack("!HH", TCP, len(body)) + body) == 0
        self.hops.append(head[8])
        _, port, seq, ack, offset, flags, *_ = struct.unpack_from("!HHIIBBHHH", body)
        return port, seq, ack, flags, body[(offset >> 4) * 4 :]
