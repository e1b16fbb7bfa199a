"""How a format is recognised while its bytes go by once: parsers that ask for regions, and who feeds them.

A parser is a generator: it yields the region it wants next, is sent the bytes, and returns what it found. It
knows nothing of where bytes come from, so the same parser reads an upload as it streams past (`Passing`) and a
file on disk (`parse_file`). Wanted regions go forward only and are small, so memory is bounded whatever the image says of itself.
"""

import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class Region:
    """Bytes from `offset` on. Fewer arrive when the image ends earlier, none when they went by already."""

    offset: int
    length: int


@dataclass(frozen=True)
class Tail:
    """The last bytes of the image; wanted last."""

    length: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """A format that matched: its name as Glance's disk_format, the disk's size in bytes, and why it must not be used, if so."""

    format: str
    virtual_size: int | None = None
    unsafe: str = ""


Want = Region | Tail
Parser = Generator[Want, bytes, Found | None]


class Passing:
    """Feeds one parser from chunks of any size that come by in order."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._position = 0
        self._held = bytearray()
        self._want: Want | None = None
        self._found: Found | None = None
        self._advance(None)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the image."""
        start, self._position = self._position, self._position + len(chunk)
        while self._want is not None:
            if isinstance(self._want, Tail):
                self._hold_end(chunk, self._want.length)
                return
            wanted_from = self._want.offset + len(self._held)
            if wanted_from >= self._position:
                return
            if wanted_from >= start:
                self._held += chunk[wanted_from - start : self._want.offset + self._want.length - start]
                if len(self._held) < self._want.length:
                    return
            self._advance(bytes(self._held))

    def finish(self) -> Found | None:
        """There are no more bytes: what the parser makes of it."""
        while self._want is not None:
            self._advance(bytes(self._held))
        return self._found

    def _hold_end(self, chunk: bytes, length: int) -> None:
        self._held += chunk[-length:]
        del self._held[:-length]

    def _advance(self, data: bytes | None) -> None:
        self._held.clear()
        try:
            self._want = next(self._parser) if data is None else self._parser.send(data)
        except StopIteration as end:
            self._want, self._found = None, end.value


def parse_file(parser: Parser, file: BinaryIO) -> Found | None:
    """Run one parser over a file that can be read anywhere."""
    try:
        want = next(parser)
        while True:
            want = parser.send(_read(file, want))
    except StopIteration as end:
        found: Found | None = end.value
        return found


def _read(file: BinaryIO, want: Want) -> bytes:
    if isinstance(want, Tail):
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - want.length))
    else:
        file.seek(want.offset)
    return file.read(want.length)
