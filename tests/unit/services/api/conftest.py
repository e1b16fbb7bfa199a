"""What tests of both doors share; a module that wants it otherwise has fixtures of its own by these names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.compute_api import ComputeApi, compute_api
from tests.support.server_world import World, server_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Servers behind the Compute API, with whom its orders go to."""
    async with server_world(tmp_path) as world:
        yield world


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ComputeApi]:
    """The Compute API alone."""
    async with compute_api(tmp_path) as api:
        yield api
