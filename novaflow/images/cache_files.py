"""The files of a compute host's image cache: entries, fetches under way, and lock files. Everything here blocks.

<directory>/<image id>-<digest>   an entry; its access time says when it was last asked for
<directory>/partial/<name>        a fetch under way
<directory>/locks/<image id>      held (flock) by who fetches or removes; the kernel lets go when a process dies
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

from novaflow.errors import ServiceUnavailable
from novaflow.images.full_disks import room_or
from novaflow.models import ImageFacts

_NANO: Final = 10**9
_BLOCK: Final = 512  # bytes, the unit of st_blocks


class Mismatch(Exception):
    """The data that arrived is not the data on record."""


class Entry(NamedTuple):
    """One state of one file: when any of it changes, the file is another one."""

    name: str
    inode: int
    size: int
    modified: int


class CacheFiles:
    """The directory; it must be readable by the hypervisor's user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._partial = directory / "partial"
        self._locks = directory / "locks"
        for path in (directory, self._partial, self._locks):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)  # the hypervisor's user reads here, whatever the umask is

    def path(self, name: str) -> Path:
        """Where the entry of that name is."""
        return self._directory / name

    def look(self, name: str) -> Entry | None:
        """The entry as it is; None when there is none."""
        try:
            stat = self.path(name).stat()
        except FileNotFoundError:
            return None
        return Entry(name, stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def touch(self, entry: Entry, now: float) -> None:
        """Mark the entry as asked for `now` (epoch seconds)."""
        with suppress(FileNotFoundError):
            os.utime(self.path(entry.name), ns=(int(now * _NANO), entry.modified))

    def lock(self, image_id: str) -> int | None:
        """A handle that holds the image's lock until it is closed; None while somebody else has it."""
        handle = os.open(self._locks / image_id, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def begin(self, name: str, image: ImageFacts) -> "Partial":
        """Start the fetch of an entry, whose image the caller has locked; what an earlier one left is overwritten."""
        partial = self._partial / name
        with room_or(_full):
            file = partial.open("wb", buffering=0)
        os.fchmod(file.fileno(), 0o644)
        return Partial(file, partial, self.path(name), image)

    def evict(self, kept: Collection[str], max_bytes: int, before: float) -> tuple[int, set[str]]:
        """Remove entries not asked for since `before`, oldest first, until the rest fits; bytes freed and names gone."""
        freed = sum(self._remove(path) for path in list(self._partial.iterdir()))
        entries = [(path.stat(), path) for path in self._directory.iterdir() if path.is_file()]
        total = sum(stat.st_blocks * _BLOCK for stat, _ in entries)
        gone: set[str] = set()
        for stat, path in sorted(entries, key=lambda entry: entry[0].st_atime_ns):
            if total <= max_bytes or stat.st_atime_ns >= before * _NANO:
                break
            if path.name in kept:
                continue
            size = self._remove(path, stat.st_atime_ns)
            if size:
                gone.add(path.name)
                total -= size
                freed += size
        return freed, gone

    def _remove(self, path: Path, accessed: int | None = None) -> int:
        """Remove the file unless its image is locked or it was asked for meanwhile; how many bytes that freed."""
        handle = self.lock(path.name.rpartition("-")[0] or path.name)  # the image's id
        if handle is None:
            return 0
        try:
            stat = path.stat()
            if accessed is not None and stat.st_atime_ns != accessed:
                return 0
            path.unlink()
            return max(stat.st_blocks * _BLOCK, 1)
        except FileNotFoundError:
            return 0
        finally:
            os.close(handle)


class Partial:
    """One fetch under way. `drop` may be called while another thread is in `write`."""

    def __init__(self, file: IO[bytes], path: Path, target: Path, image: ImageFacts) -> None:
        self.path = path
        self._file = file
        self._target = target
        self._wanted_size = image.size_bytes
        self._wanted = image.sha512 or image.md5
        self._hash = hashlib.sha512() if image.sha512 else hashlib.md5(usedforsecurity=False)
        self._size = 0
        self._turn = threading.Lock()

    def write(self, chunk: bytes) -> None:
        """Append a chunk. Raises Mismatch when there is more than there should be, ServiceUnavailable on a full disk."""
        self._size += len(chunk)
        if self._size > self._wanted_size:
            raise Mismatch(f"its data is longer than the {self._wanted_size} bytes on record")
        with self._turn, room_or(_full):
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._hash.update(chunk)

    def verify(self) -> None:
        """Bring the data to the disk. Raises Mismatch unless it is what is on record."""
        with room_or(_full):
            os.fsync(self._file.fileno())
        if self._size != self._wanted_size:
            raise Mismatch(f"its data is {self._size} bytes and not the {self._wanted_size} on record")
        if self._hash.hexdigest() != self._wanted.lower():
            raise Mismatch(f"its data does not match its {self._hash.name} checksum")

    def keep(self) -> None:
        """Make it an entry."""
        self._file.close()
        self.path.rename(self._target)

    def drop(self) -> None:
        """Remove it."""
        with self._turn:
            self._file.close()
        self.path.unlink(missing_ok=True)


def _full(reason: str) -> ServiceUnavailable:
    return ServiceUnavailable(service="image cache", reason=reason)
