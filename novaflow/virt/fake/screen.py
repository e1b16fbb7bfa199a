"""A fake guest's screen as a picture: its colour tells the power, its bars the boot."""

import struct
import zlib
from typing import Final

from novaflow.states import Power
from novaflow.virt.fake.guest import FakeGuest

WIDTH: Final = 160
HEIGHT: Final = 100
_COLOURS: Final = {Power.RUNNING: (0x1F, 0x7A, 0x3D), Power.PAUSED: (0x55, 0x55, 0x55)}
_INK: Final = (0xF5, 0xF5, 0xF5)
_BAR: Final = 4  # pixels


def picture(guest: FakeGuest) -> bytes:
    """A PNG (RFC 2083) with a palette of two colours. A bar for every bit of the checksum of its memory."""
    bits = zlib.crc32(f"{guest.memory.boot_id} {guest.memory.counter}".encode())
    bars = b"".join(bytes([bits >> number & 1]) * _BAR for number in range(32)).center(WIDTH, b"\0")
    blank = bytes(WIDTH)
    rows = (bars if HEIGHT // 4 <= row < HEIGHT * 3 // 4 else blank for row in range(HEIGHT))
    pixels = b"".join(b"\0" + row for row in rows)  # every line says that it is not filtered
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", bytes((*_COLOURS[guest.power], *_INK))),
            _chunk(b"IDAT", zlib.compress(pixels)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
