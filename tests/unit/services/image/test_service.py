"""The service as a process runs it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from novaflow.clock import SystemClock
from novaflow.config import Config, Identity
from novaflow.config import Image as ImageSettings
from novaflow.db.images import Images
from novaflow.db.images_uploads import ImageUploads
from novaflow.images.image import Image, Status
from services.image.service import image
from services.ports import free_ports
from services.runtime import opened
from services.web import PortTaken

ID = "6c2b7d2e-1bfb-4c2c-8b06-c4e3ed5ab0a2"


@pytest.fixture
def config(migrated_sqlite: Path, tmp_path: Path) -> Config:
    shutil.copy(migrated_sqlite, tmp_path / "novaflow.sqlite")
    image_port, identity_port = free_ports("127.0.0.1", 2)
    return Config(state_dir=str(tmp_path), image=ImageSettings(port=image_port), identity=Identity(port=identity_port))


async def test_it_tells_its_versions_and_admits_nobody_while_identity_is_away(config: Config) -> None:
    async with opened(config, "image") as runtime, image(runtime):
        async with runtime.http.get(f"{config.image_url}/versions") as response:
            assert response.status == 200
        async with runtime.http.get(f"{config.image_url}/v2/images") as response:
            assert response.status == 401
        async with runtime.http.get(f"{config.image_url}/v2/images", headers={"X-Auth-Token": "x" * 32}) as response:
            assert response.status == 503


async def test_what_an_interrupted_process_left_is_gone_before_the_first_request(
    config: Config, tmp_path: Path
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    uploads = tmp_path / "images" / "uploads"
    uploads.mkdir(parents=True)
    (uploads / f"{ID}.dead").write_bytes(b"abc")
    (tmp_path / "images" / ID).write_bytes(b"abc")
    async with opened(config, "image") as runtime:
        database = await runtime.database()
        images, claims = Images(database, SystemClock()), ImageUploads(database, SystemClock())
        await images.create(Image(id=ID, created_at=now, updated_at=now))
        await claims.claim(ID, "dead")

        async with image(runtime):
            assert (await images.get(ID)).status is Status.QUEUED
            assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


async def test_a_port_in_use_is_named(config: Config) -> None:
    async with opened(config, "image") as runtime, image(runtime):
        with pytest.raises(PortTaken, match=str(config.image.port)):
            await image(runtime).__aenter__()
