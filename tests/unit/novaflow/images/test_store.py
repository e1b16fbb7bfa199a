"""The file store: complete data or none, whatever happens in between."""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from novaflow.errors import TooLarge
from novaflow.images.errors import StoreFull
from novaflow.images.store import FileStore, Upload

ID = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"


Begin = Callable[[str], Upload]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path, max_bytes=1000)


@pytest.fixture
def begin(store: FileStore) -> Iterator[Begin]:
    opened: list[Upload] = []

    def one(upload_id: str) -> Upload:
        opened.append(store.begin(ID, upload_id))
        return opened[-1]

    yield one
    for upload in opened:
        upload.close()


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_data_has_its_place_and_its_digests_once_it_is_complete(store: FileStore, begin: Begin, tmp_path: Path) -> None:
    upload = begin("u")
    upload.write(b"abc")
    upload.write(b"def")
    assert files(tmp_path) == [f"uploads/{ID}.u"]

    seen = upload.seal()
    stored = upload.keep(seen.virtual_size)
    upload.close()

    assert store.path(ID).read_bytes() == b"abcdef"
    assert files(tmp_path) == [ID]
    assert (stored.size, stored.virtual_size) == (6, 6)
    assert stored.checksum == hashlib.md5(b"abcdef").hexdigest()
    assert stored.os_hash_value == hashlib.sha512(b"abcdef").hexdigest()


def test_nobody_else_may_read_what_is_stored(begin: Begin, tmp_path: Path) -> None:
    begin("u")

    assert (tmp_path / "uploads" / f"{ID}.u").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("is_in_place", [False, True])
def test_a_dropped_upload_leaves_nothing(begin: Begin, tmp_path: Path, is_in_place: bool) -> None:
    upload = begin("u")
    upload.write(b"abc")
    if is_in_place:
        upload.keep(3)

    upload.drop()
    upload.drop()

    assert files(tmp_path) == []


def test_a_dropped_upload_does_not_take_the_data_of_another_with_it(store: FileStore, begin: Begin) -> None:
    first, second = begin("1"), begin("2")
    first.write(b"first")
    second.write(b"second")
    first.keep(5)
    second.keep(6)

    first.drop()

    assert store.path(ID).read_bytes() == b"second"


def test_an_upload_may_fill_the_limit_and_no_more(begin: Begin) -> None:
    upload = begin("u")
    upload.write(b"x" * 1000)

    with pytest.raises(TooLarge, match="1000 bytes allowed"):
        upload.write(b"x")


def test_a_full_disk_is_said_to_be_full(begin: Begin) -> None:
    upload = begin("u")
    upload.close()
    upload._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed with the upload

    with pytest.raises(StoreFull, match="Image storage media is full: No space left on device"):
        upload.write(b"abc")


def test_an_upload_is_alive_until_it_is_closed(store: FileStore, begin: Begin) -> None:
    upload = begin("u")
    assert store.is_uploading(ID, "u")
    assert not store.is_uploading(ID, "other")

    upload.keep(0)
    assert store.is_uploading(ID, "u")

    upload.close()
    assert not store.is_uploading(ID, "u")
    assert store.unheld().keys() == {ID}


def test_a_sweep_takes_what_the_dead_left_and_nothing_of_the_living(
    store: FileStore, begin: Begin, tmp_path: Path
) -> None:
    begin("living").write(b"abc")
    (tmp_path / "uploads" / f"{ID}.dead").write_bytes(b"abc")

    assert store.sweep_uploads() == 1

    assert files(tmp_path) == [f"uploads/{ID}.living"]


def test_data_that_was_replaced_meanwhile_is_not_forgotten(store: FileStore, begin: Begin) -> None:
    store.path(ID).write_bytes(b"old")
    inode = store.unheld()[ID]
    upload = begin("u")
    upload.keep(0)
    upload.close()

    assert not store.forget(ID, inode)
    assert store.path(ID).exists()
    assert store.forget(ID, store.unheld()[ID])
    assert not store.path(ID).exists()


def test_the_lock_of_an_upload_is_the_kernels(begin: Begin, tmp_path: Path) -> None:
    begin("u")

    with (tmp_path / "uploads" / f"{ID}.u").open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
