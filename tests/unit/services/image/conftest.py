"""A running image service."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.image_service import ImageService, image_service


@pytest.fixture
async def service(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[ImageService]:
    path = tmp_path / "records.sqlite"
    shutil.copy(migrated_sqlite, path)
    async with image_service(path, tmp_path / "images", max_bytes=8 * 2**20) as running:
        yield running
