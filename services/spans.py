"""Where a process's spans go, and where they are read again: one file of JSON lines per process.

Files need neither the broker nor the database, so a trace survives the faults it is wanted for. Writing is a
buffered append of one line; a file that grows too large is rotated once, so a long-lived cloud keeps its last traces.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from rpc.tracing import Span

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Span)
_FLUSH_EVERY: Final = 64  # lines that may wait in memory


class SpanFile:
    """A sink that appends to `<directory>/<process>.jsonl`, readable by the owner alone."""

    def __init__(self, directory: Path, process: str, max_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = directory / f"{process}.jsonl"
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self._file = self._open()

    def _open(self) -> IO[bytes]:
        return os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)

    def record(self, span: Span) -> None:
        """Take one finished span."""
        self._waiting.append(_ENCODER.encode(span))
        if len(self._waiting) >= _FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what waits. A full disk loses spans, never work."""
        if not self._waiting:
            return
        lines, self._waiting = b"\n".join(self._waiting) + b"\n", []
        try:
            self._file.write(lines)
            if self._file.tell() > self._max_bytes:
                self._file.close()
                self._path.replace(self._path.with_suffix(".old.jsonl"))
                self._file = self._open()
        except OSError:
            return

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush()
        self._file.close()


def read(directory: Path) -> Iterator[Span]:
    """Every span of every process, in no order. A line that a crash cut short is passed over."""
    for path in sorted(directory.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                span = _parse(line)
                if span is not None:
                    yield span


def _parse(line: bytes) -> Span | None:
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError:
        return None
