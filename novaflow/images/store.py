"""Where image data is kept: one file per image, complete or not there.

Data comes into a file of its own under `uploads`, is synced and then renamed to its place. The writing process holds a lock (flock) on
its file from before the upload is on record until after its end is; the kernel lets go of it when the process dies. So
whoever finds an upload on record, or a file that no record knows, can tell whether it still lives, also across processes.
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from novaflow.errors import TooLarge
from novaflow.images.errors import StoreFull
from novaflow.images.full_disks import room_or
from novaflow.images.image import StoredData
from novaflow.images.inspect import DiskImage, Inspector


class FileStore:
    """The files under one directory. All methods block, and belong in a thread."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._uploads = directory / "uploads"
        self._max_bytes = max_bytes
        self._uploads.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, image_id: str) -> Path:
        """Where the data of an active image is."""
        return self._directory / image_id

    def begin(self, image_id: str, upload_id: str) -> "Upload":
        """Open the file of a new upload, locked. Raises StoreFull."""
        with _lock(self._uploads, fcntl.LOCK_SH), room_or(_full):
            partial = self._partial(image_id, upload_id)
            file = os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
        return Upload(file, partial, self.path(image_id), self._max_bytes)

    def delete(self, image_id: str) -> None:
        """Remove the image's data; fine when there is none. A download that runs keeps reading what it opened."""
        self.path(image_id).unlink(missing_ok=True)

    def is_uploading(self, image_id: str, upload_id: str) -> bool:
        """Whether a living process holds this upload."""
        return _is_locked(self._partial(image_id, upload_id)) or _is_locked(self.path(image_id))

    def sweep_uploads(self) -> int:
        """Remove what dead processes left of their uploads; gives how many files."""
        with _lock(self._uploads, fcntl.LOCK_EX):
            dead = [path for path in self._uploads.iterdir() if not _is_locked(path)]
            for path in dead:
                path.unlink(missing_ok=True)
        return len(dead)

    def unheld(self) -> dict[str, int]:
        """Images whose data is in place and that no upload holds: id and inode of the file."""
        paths = [path for path in self._directory.iterdir() if path.is_file()]
        return {path.name: path.stat().st_ino for path in paths if not _is_locked(path)}

    def forget(self, image_id: str, inode: int) -> bool:
        """Remove that file of `unheld`, unless other data has taken its place since."""
        path = self.path(image_id)
        with _lock(self._uploads, fcntl.LOCK_EX), suppress(FileNotFoundError):
            if path.stat().st_ino == inode:
                path.unlink()
                return True
        return False

    def _partial(self, image_id: str, upload_id: str) -> Path:
        return self._uploads / f"{image_id}.{upload_id}"


class Upload:
    """One file on its way into the store. Methods block; `drop` may be called while another thread is in `write`."""

    def __init__(self, file: IO[bytes], partial: Path, target: Path, max_bytes: int) -> None:
        self._file = file
        self._partial = partial
        self._target = target
        self._max_bytes = max_bytes
        self._size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._inspector = Inspector()
        self._turn = threading.Lock()

    def write(self, chunk: bytes) -> None:
        """Append a chunk. Raises TooLarge beyond the store's limit, StoreFull when the disk is."""
        with self._turn, room_or(_full):
            self._size += len(chunk)
            if self._size > self._max_bytes:
                raise TooLarge(what="The incoming image", limit=self._max_bytes)
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._md5.update(chunk)
            self._sha512.update(chunk)
            self._inspector.feed(chunk)

    def seal(self) -> DiskImage:
        """Bring everything to the disk; what the image is. Raises StoreFull."""
        with self._turn, room_or(_full):
            os.fsync(self._file.fileno())
            return self._inspector.finish()

    def keep(self, virtual_size: int | None) -> StoredData:
        """Put the sealed file in its place; the lock stays until `close`."""
        with self._turn, _lock(self._partial.parent, fcntl.LOCK_SH):
            self._partial.rename(self._target)
            _sync_directory(self._target.parent)
        return StoredData(
            size=self._size,
            virtual_size=virtual_size,
            checksum=self._md5.hexdigest(),
            os_hash_value=self._sha512.hexdigest(),
        )

    def close(self) -> None:
        """Let go of the file, which stays."""
        with self._turn:
            self._file.close()

    def drop(self) -> None:
        """Remove the file, in place already or not, and let go of it."""
        with self._turn:
            if not self._file.closed:
                for path in (self._partial, self._target):
                    if _is_same(self._file, path):
                        path.unlink(missing_ok=True)
                self._file.close()


def _is_same(file: IO[bytes], path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _lock(directory: Path, kind: int) -> Iterator[None]:
    """Hold the directory itself: shared while a file comes or moves, alone while files are judged and removed."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


def _full(reason: str) -> StoreFull:
    return StoreFull(reason=reason)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
