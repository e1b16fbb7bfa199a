"""What the contract tests of the bus and of the drivers share; a module that wants it otherwise has fixtures of its own by these names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rpc.bus import BusSettings
from tests.support.bus import PLACES, Place, World
from tests.support.bus import place as place_of
from tests.support.hypervisors import KINDS, Hypervisor, hypervisor_of


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    """Every kind of broker, and every way to it."""
    return place_of(request.param, request.getfixturevalue)


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    """Durable delivery that retries soon."""
    world = World(place, BusSettings(retries=2, retry_delay=0.02, drain_timeout=5.0))
    yield world
    await world.close()


@pytest.fixture(params=KINDS)
async def hypervisor(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hypervisor]:
    """Every kind of hypervisor, with one host."""
    async with hypervisor_of(request.param, tmp_path) as made:
        yield made
