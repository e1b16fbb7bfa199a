"""An upload ends in an active image or in nothing, whatever goes wrong on the way."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from novaflow.clock import SystemClock
from novaflow.db.database import Database
from novaflow.db.images import Images
from novaflow.db.images_uploads import ImageUploads
from novaflow.errors import Conflict, ImageRefused, Invalid, ServiceUnavailable, TooLarge
from novaflow.images.errors import ImageGone
from novaflow.images.image import Image, Status, StoredData
from novaflow.images.store import FileStore
from novaflow.images.upload import Uploads
from tests.support import disks

ID = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """Uploads over real records and a real store."""

    def __init__(self, records: Database, directory: Path) -> None:
        self.directory = directory
        self.images = Images(records, SystemClock())
        self.claims = ImageUploads(records, SystemClock())
        self.store = FileStore(directory, max_bytes=2**20)
        self.numbers = iter(range(1000))
        self.uploads = Uploads(self.claims, self.store, lambda: f"upload-{next(self.numbers)}")

    async def create(self, **rest: Any) -> Image:
        facts: dict[str, Any] = {"disk_format": "raw", "container_format": "bare", **rest}
        return await self.images.create(Image(id=ID, created_at=NOW, updated_at=NOW, owner="alice", **facts))

    async def left(self) -> tuple[Status, list[str]]:
        """The image's status, and every file of the store."""
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        return (await self.images.get(ID)).status, sorted(str(path.relative_to(self.directory)) for path in files)


@pytest.fixture
def world(records: Database, tmp_path: Path) -> World:
    return World(records, tmp_path / "store")


async def stream(*chunks: bytes, then: Callable[[], None] | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then:
        then()


async def test_what_was_uploaded_is_what_the_image_is(world: World) -> None:
    image = await world.create()

    await world.uploads.take(image, stream(b"abc", b"def"), 6)

    assert await world.left() == (Status.ACTIVE, [ID])
    assert world.store.path(ID).read_bytes() == b"abcdef"
    assert (await world.images.get(ID)).size == 6
    assert not world.store.is_uploading(ID, "upload-0")


@pytest.mark.parametrize(
    ("claim", "data", "declared", "error"),
    [
        ("qcow2", b"x" * 600, None, ImageRefused),
        ("raw", disks.qcow2(), None, ImageRefused),
        ("qcow2", disks.qcow2(backing_offset=1), None, ImageRefused),
        ("raw", disks.TEXT_VMDK.encode(), None, ImageRefused),
        ("raw", b"abc", 4, Invalid),
        ("raw", b"abc", 2, Invalid),
        ("raw", b"x" * (2**20 + 1), None, TooLarge),
    ],
)
async def test_data_that_is_not_what_was_said_leaves_nothing(
    world: World, claim: str, data: bytes, declared: int | None, error: type[Exception]
) -> None:
    image = await world.create(disk_format=claim)

    with pytest.raises(error):
        await world.uploads.take(image, stream(data), declared)

    assert await world.left() == (Status.QUEUED, [])


async def test_after_a_failure_the_image_can_be_uploaded_again(world: World) -> None:
    image = await world.create()
    with pytest.raises(Invalid):
        await world.uploads.take(image, stream(b"abc"), 99)

    await world.uploads.take(image, stream(b"abc"), 3)

    assert await world.left() == (Status.ACTIVE, [ID])


@pytest.mark.parametrize("container", ["ova", "ovf", "docker", "compressed"])
async def test_a_container_is_kept_unseen_and_has_no_virtual_size(world: World, container: str) -> None:
    image = await world.create(container_format=container, disk_format="vmdk")

    await world.uploads.take(image, stream(b"a tar file"), None)

    assert (await world.images.get(ID)).virtual_size is None


async def test_an_image_without_formats_takes_no_data(world: World) -> None:
    image = await world.create(disk_format=None, container_format=None)

    with pytest.raises(Invalid, match="Properties disk_format, container_format must be set prior to saving data"):
        await world.uploads.take(image, stream(b"abc"), None)

    assert await world.left() == (Status.QUEUED, [])


async def test_a_client_that_breaks_off_leaves_nothing(world: World) -> None:
    def vanish() -> None:
        raise ConnectionResetError

    image = await world.create()

    with pytest.raises(ConnectionResetError):
        await world.uploads.take(image, stream(b"abc", then=vanish), None)

    assert await world.left() == (Status.QUEUED, [])


async def test_a_cancelled_upload_leaves_nothing(world: World) -> None:
    waiting, never = asyncio.Event(), asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"abc"
        waiting.set()
        await never.wait()

    image = await world.create()
    upload = asyncio.create_task(world.uploads.take(image, stalled(), None))
    await waiting.wait()
    assert (await world.images.get(ID)).status is Status.SAVING

    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload

    assert await world.left() == (Status.QUEUED, [])


async def test_of_many_uploads_at_once_exactly_one_wins(world: World) -> None:
    image = await world.create()
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]

    results = await asyncio.gather(
        *(world.uploads.take(image, stream(content), None) for content in contents), return_exceptions=True
    )

    assert results.count(None) == 1
    assert all(isinstance(each, Conflict) for each in results if each is not None)
    assert world.store.path(ID).read_bytes() == contents[results.index(None)]
    assert await world.left() == (Status.ACTIVE, [ID])


async def test_an_image_deleted_during_its_upload_is_gone(world: World) -> None:
    image = await world.create()

    async def deleting() -> AsyncIterator[bytes]:
        yield b"abc"
        await world.images.delete(ID)

    with pytest.raises(ImageGone, match="could not be found after upload"):
        await world.uploads.take(image, deleting(), None)

    assert [path for path in world.directory.rglob("*") if path.is_file()] == []


class Away:
    """Records that are away from a certain call on; `applied` says whether that call still took effect."""

    def __init__(self, records: ImageUploads, *, applied: bool) -> None:
        self._records = records
        self._applied = applied
        self.claim, self.running, self.has_data = records.claim, records.running, records.has_data

    async def finish(self, image_id: str, upload_id: str, data: StoredData) -> bool:
        if self._applied:
            await self._records.finish(image_id, upload_id, data)
        raise ServiceUnavailable(service="database", reason="test")

    async def drop(self, image_id: str, upload_id: str) -> bool:
        if self._applied:
            return await self._records.drop(image_id, upload_id)
        raise ServiceUnavailable(service="database", reason="test")


async def test_data_whose_record_was_committed_unheard_is_kept(world: World) -> None:
    image = await world.create()
    uploads = Uploads(Away(world.claims, applied=True), world.store, lambda: "u")

    with pytest.raises(ServiceUnavailable):
        await uploads.take(image, stream(b"abc"), None)

    assert await world.left() == (Status.ACTIVE, [ID])
    assert await world.uploads.sweep() == 0


async def test_what_could_not_be_cleaned_up_is_swept_later(world: World) -> None:
    image = await world.create()
    uploads = Uploads(Away(world.claims, applied=False), world.store, lambda: "u")
    with pytest.raises(ServiceUnavailable):
        await uploads.take(image, stream(b"abc"), None)
    assert await world.left() == (Status.SAVING, [ID])

    assert await world.uploads.sweep() == 2

    assert await world.left() == (Status.QUEUED, [])
    assert await world.uploads.sweep() == 0


async def test_a_sweep_removes_the_data_of_deleted_images_and_no_other(world: World) -> None:
    image = await world.create()
    await world.uploads.take(image, stream(b"abc"), None)
    assert await world.uploads.sweep() == 0

    await world.images.delete(ID)

    assert await world.uploads.sweep() == 1
    assert not world.store.path(ID).exists()


async def test_a_sweep_leaves_running_uploads_alone(world: World) -> None:
    image = await world.create()

    async def swept() -> AsyncIterator[bytes]:
        yield b"abc"
        assert await world.uploads.sweep() == 0
        yield b"def"

    await world.uploads.take(image, swept(), 6)

    assert await world.left() == (Status.ACTIVE, [ID])


DYING = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from novaflow.clock import SystemClock
from novaflow.config import Database as Settings
from novaflow.db.database import Database
from novaflow.db.images import Images
from novaflow.db.images_uploads import ImageUploads
from novaflow.images.store import FileStore
from novaflow.images.upload import Uploads

async def dying():
    yield b"abc"
    os._exit(9)

async def main():
    db = await Database.open(sys.argv[2], Settings())
    image = await Images(db, SystemClock()).get(sys.argv[4])
    uploads = Uploads(ImageUploads(db, SystemClock()), FileStore(Path(sys.argv[3]), 1000), lambda: "dead")
    await uploads.take(image, dying(), None)

asyncio.run(main())
"""


async def test_an_upload_whose_process_died_is_cleaned_up_at_the_next_start(world: World, tmp_path: Path) -> None:
    await world.create()
    root = Path(__file__).parents[4]
    words = [sys.executable, "-c", DYING, str(root), f"sqlite+aiosqlite:///{tmp_path / 'records.sqlite'}"]
    ended = await asyncio.to_thread(subprocess.run, [*words, str(world.directory), ID], capture_output=True, timeout=60)
    assert ended.returncode == 9, ended.stderr
    assert await world.left() == (Status.SAVING, [f"uploads/{ID}.dead"])

    assert await world.uploads.sweep() == 2

    assert await world.left() == (Status.QUEUED, [])
