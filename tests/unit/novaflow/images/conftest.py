"""A migrated database of one test's own."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novaflow.config import Database as Settings
from novaflow.db.database import Database


@pytest.fixture
async def records(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "records.sqlite"
    shutil.copy(migrated_sqlite, path)
    database = await Database.open(f"sqlite+aiosqlite:///{path}", Settings())
    yield database
    await database.close()
