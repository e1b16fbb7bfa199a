"""An identity service on SQLite, for tests of what it answers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.clocks import ManualClock
from tests.support.identity import START, IdentityWorld, copied_database, identity_world


@pytest.fixture
async def world(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[IdentityWorld]:
    async with (
        copied_database(migrated_sqlite, tmp_path) as database,
        identity_world(database, tmp_path / "state", clock=ManualClock(START)) as world,
    ):
        yield world
