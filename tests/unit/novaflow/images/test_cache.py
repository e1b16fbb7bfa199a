"""A compute host's image cache: fetched once, never believed, never partly used."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from novaflow.errors import ImageRefused, NotFound, ServiceUnavailable, Unauthorized
from novaflow.images.cache import CachedImage, ImageCache
from novaflow.models import ImageFacts
from tests.support import disks

ID = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"
DISK = disks.qcow2(2**20)


class Time:
    """A clock that passes when somebody sleeps, and then lets others run."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


class Source:
    """An image service: sends `data` in pieces; `failures` are raised first, one per download, in the middle of the data."""

    def __init__(self, data: bytes = DISK) -> None:
        self.data = data
        self.downloads = 0
        self.failures: list[Exception] = []
        self.tokens: list[str] = []
        self.gate: asyncio.Event | None = None
        self.started = asyncio.Event()

    @asynccontextmanager
    async def download(self, image_id: str, token: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self.downloads += 1
        self.tokens.append(token)
        yield self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 20_000):
            yield self.data[start : start + 20_000]
            self.started.set()
            if self.gate:
                await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)


def image(data: bytes = DISK, **rest: Any) -> ImageFacts:
    facts: dict[str, Any] = {
        "id": ID,
        "disk_format": "qcow2",
        "size_bytes": len(data),
        "md5": hashlib.md5(data).hexdigest(),
        "sha512": hashlib.sha512(data).hexdigest(),
    }
    return ImageFacts(**{**facts, **rest})


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cache(tmp_path: Path, source: Source, time: Time) -> ImageCache:
    return ImageCache(tmp_path, source, time)


def files(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and path.parent.name != "locks"
    )


async def test_an_image_is_fetched_once_and_then_found(cache: ImageCache, source: Source, tmp_path: Path) -> None:
    first = await cache.fetch(image(), "token")
    second = await cache.fetch(image(), "other")

    assert first == second
    assert first == CachedImage(path=tmp_path / files(tmp_path)[0], format="qcow2", virtual_size=2**20)
    assert first.path.read_bytes() == DISK
    assert source.tokens == ["token"]


async def test_many_at_once_cause_one_download(cache: ImageCache, source: Source) -> None:
    found = await asyncio.gather(*(cache.fetch(image(), "token") for _ in range(50)))

    assert len(set(found)) == 1
    assert source.downloads == 1


async def test_caches_that_share_a_directory_cause_one_download(tmp_path: Path, source: Source, time: Time) -> None:
    caches = [ImageCache(tmp_path, source, time) for _ in range(3)]

    found = await asyncio.gather(*(each.fetch(image(), "token") for each in caches))

    assert len(set(found)) == 1
    assert source.downloads == 1


async def test_a_restart_finds_what_was_fetched(tmp_path: Path, source: Source, time: Time) -> None:
    before = await ImageCache(tmp_path, source, time).fetch(image(), "token")

    assert await ImageCache(tmp_path, source, time).fetch(image(), "token") == before
    assert source.downloads == 1


@pytest.mark.parametrize(
    ("disk_format", "container", "data", "runs_as", "size"),
    [
        ("raw", "bare", b"\x01" * 5000, "raw", 5000),
        ("raw", "bare", disks.partitioned(4096), "raw", 4096),
        ("iso", "bare", disks.iso(100), "raw", 204800),
        ("aki", "aki", b"MZ" + b"k" * 5000, "raw", 5002),
        ("ari", "ari", b"\x1f\x8b" + b"r" * 5000, "raw", 5002),
        ("qcow2", "bare", DISK, "qcow2", 2**20),
    ],
)
async def test_what_qemu_is_told_comes_from_the_data(
    cache: ImageCache, source: Source, disk_format: str, container: str, data: bytes, runs_as: str, size: int
) -> None:
    source.data = data

    found = await cache.fetch(image(data, disk_format=disk_format, container_format=container), "token")

    assert (found.format, found.virtual_size) == (runs_as, size)


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (disks.qcow2(backing_offset=1), {}),
        (disks.qcow2(), {"disk_format": "raw"}),
        (b"x" * 600, {}),
        (disks.TEXT_VMDK.encode(), {"disk_format": "raw"}),
        (disks.vmdk(), {"disk_format": "vmdk"}),
    ],
)
async def test_data_that_must_not_run_is_refused_though_its_checksum_is_right(
    cache: ImageCache, source: Source, tmp_path: Path, data: bytes, facts: dict[str, Any]
) -> None:
    source.data = data

    for _ in range(2):
        with pytest.raises(ImageRefused):
            await cache.fetch(image(data, **facts), "token")

    assert files(tmp_path) == []
    assert source.downloads == 2


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"status": "queued"}, "its status is queued"),
        ({"container_format": "ova"}, "container format ova cannot be run"),
        ({"md5": "", "sha512": ""}, "it has no checksum"),
    ],
)
async def test_what_cannot_be_used_is_not_even_fetched(
    cache: ImageCache, source: Source, facts: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ImageRefused, match=reason):
        await cache.fetch(image(**facts), "token")

    assert source.downloads == 0


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"sha512": "0" * 128}, "does not match its sha512 checksum, 3 times"),
        ({"sha512": "", "md5": "0" * 32}, "does not match its md5 checksum, 3 times"),
        ({"size_bytes": len(DISK) + 1}, "and not the 65537 on record, 3 times"),
        ({"size_bytes": 100}, "longer than the 100 bytes on record, 3 times"),
    ],
)
async def test_other_data_than_on_record_is_refused_after_three_tries(
    cache: ImageCache, source: Source, tmp_path: Path, facts: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ImageRefused, match=reason):
        await cache.fetch(image(**facts), "token")

    assert source.downloads == 3
    assert files(tmp_path) == []


async def test_md5_is_enough_when_it_is_all_there_is(cache: ImageCache) -> None:
    assert (await cache.fetch(image(sha512=""), "token")).format == "qcow2"


async def test_a_download_that_breaks_off_is_tried_again(cache: ImageCache, source: Source, time: Time) -> None:
    source.failures = [ServiceUnavailable(service="image", reason="broke off") for _ in range(2)]

    assert (await cache.fetch(image(), "token")).path.read_bytes() == DISK
    assert (source.downloads, time.seconds) == (3, 1.5)


@pytest.mark.parametrize(
    ("error", "downloads"),
    [
        (ServiceUnavailable(service="image", reason="away"), 3),
        (Unauthorized(), 1),
        (NotFound(kind="Image", key=ID), 1),
    ],
)
async def test_what_the_source_says_in_the_end_is_raised(
    cache: ImageCache, source: Source, tmp_path: Path, error: Exception, downloads: int
) -> None:
    source.failures = [error] * 3

    with pytest.raises(type(error)):
        await cache.fetch(image(), "token")

    assert source.downloads == downloads
    assert files(tmp_path) == []


async def test_when_the_fetcher_goes_away_the_next_one_fetches(
    cache: ImageCache, source: Source, tmp_path: Path
) -> None:
    source.gate = asyncio.Event()
    first = asyncio.create_task(cache.fetch(image(), "first"))
    second = asyncio.create_task(cache.fetch(image(), "second"))
    await source.started.wait()

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.gate.set()

    assert (await second).path.read_bytes() == DISK
    assert source.tokens == ["first", "second"]
    assert len(files(tmp_path)) == 1


async def test_what_a_killed_process_left_is_never_used(cache: ImageCache, source: Source, tmp_path: Path) -> None:
    whole = await cache.fetch(image(), "token")
    whole.path.rename(tmp_path / "partial" / whole.path.name)
    with (tmp_path / "partial" / whole.path.name).open("r+b") as file:
        file.truncate(70_000)

    assert (await ImageCache(tmp_path, source, Time()).fetch(image(), "token")).path.read_bytes() == DISK
    assert source.downloads == 2


async def test_an_entry_that_was_cut_short_is_fetched_again(cache: ImageCache, source: Source) -> None:
    found = await cache.fetch(image(), "token")
    with found.path.open("r+b") as file:
        file.truncate(10)

    assert (await cache.fetch(image(), "token")).path.read_bytes() == DISK
    assert source.downloads == 2


async def test_other_data_under_the_same_id_is_another_entry(cache: ImageCache, source: Source) -> None:
    await cache.fetch(image(), "token")
    source.data = disks.qcow2(2**21)

    assert (await cache.fetch(image(source.data), "token")).virtual_size == 2**21


async def test_a_lock_that_is_never_released_ends_in_an_error(
    cache: ImageCache, source: Source, tmp_path: Path
) -> None:
    with (tmp_path / "locks" / ID).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(ServiceUnavailable, match="stays locked"):
            await cache.fetch(image(), "token")

    assert source.downloads == 0


def numbered(number: int) -> tuple[bytes, str]:
    return bytes([number]) * 8192, f"00000000-0000-4000-8000-{number:012d}"


async def fill(cache: ImageCache, source: Source, time: Time, count: int) -> list[CachedImage]:
    found = []
    for number in range(1, count + 1):
        source.data, name = numbered(number)
        time.seconds += 1000
        found.append(await cache.fetch(image(source.data, id=name, disk_format="raw"), "token"))
    time.seconds += 1000
    return found


async def test_eviction_takes_what_was_unused_for_longest_until_the_rest_fits(
    cache: ImageCache, source: Source, time: Time
) -> None:
    one, two, three, four = await fill(cache, source, time, 4)
    data, name = numbered(1)
    await cache.fetch(image(data, id=name, disk_format="raw"), "token")
    time.seconds += 1000

    freed = await cache.evict([two.path], max_bytes=17_000)

    assert [each.path.exists() for each in (one, two, three, four)] == [True, True, False, False]
    assert freed == 16_384


async def test_eviction_keeps_what_fits_and_what_was_just_asked_for(
    cache: ImageCache, source: Source, time: Time
) -> None:
    one, two = await fill(cache, source, time, 2)

    assert await cache.evict([], max_bytes=10**9) == 0
    assert await cache.evict([], max_bytes=0, idle_seconds=1500) == 8192
    assert (one.path.exists(), two.path.exists()) == (False, True)


async def test_what_was_evicted_is_fetched_again(cache: ImageCache, source: Source, time: Time) -> None:
    (one,) = await fill(cache, source, time, 1)
    await cache.evict([], max_bytes=0)
    data, name = numbered(1)

    assert (await cache.fetch(image(data, id=name, disk_format="raw"), "token")).path == one.path
    assert one.path.read_bytes() == data


async def test_eviction_leaves_a_fetch_under_way_alone_and_removes_a_dead_one(
    cache: ImageCache, source: Source, tmp_path: Path
) -> None:
    dead = tmp_path / "partial" / "00000000-0000-4000-8000-000000000001-0123456789abcdef"
    dead.write_bytes(b"x" * 8192)
    source.gate = asyncio.Event()
    fetching = asyncio.create_task(cache.fetch(image(), "token"))
    await source.started.wait()

    await cache.evict([], max_bytes=0)

    assert not dead.exists()
    source.gate.set()
    assert (await fetching).path.read_bytes() == DISK


async def test_the_hypervisor_may_read_what_is_cached(cache: ImageCache, tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        found = await ImageCache(tmp_path / "cache", Source(), Time()).fetch(image(), "token")
    finally:
        os.umask(umask)

    assert found.path.stat().st_mode & 0o444 == 0o444
    assert found.path.parent.stat().st_mode & 0o555 == 0o555
