"""A fake guest's screen as a picture: its colour tells the power, its bars what is in its memory."""

import zlib
from typing import Final

from novaflow.states import Power
from novaflow.virt.fake.guest import FakeGuest
from novaflow.virt.png import to_png

WIDTH: Final = 160
HEIGHT: Final = 100
_COLOURS: Final = {Power.RUNNING: b"\x1f\x7a\x3d", Power.PAUSED: b"\x55\x55\x55"}
_INK: Final = b"\xf5\xf5\xf5"
_BARS: Final = 32
_MARGIN: Final = HEIGHT // 4


def picture(guest: FakeGuest) -> bytes:
    """A PNG with a bar for every bit of a checksum of the guest's memory."""
    ground = _COLOURS[guest.power]
    bits = zlib.crc32(f"{guest.memory.boot_id} {guest.memory.counter}".encode())
    blank = ground * WIDTH
    barred = b"".join((_INK if bits >> bar & 1 else ground) * (WIDTH // _BARS) for bar in range(_BARS))
    rows = [blank] * _MARGIN + [barred] * (HEIGHT - 2 * _MARGIN) + [blank] * _MARGIN
    return to_png(b"P6 %d %d 255\n" % (WIDTH, HEIGHT) + b"".join(rows))
