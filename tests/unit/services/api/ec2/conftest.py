"""What tests of the EC2 door share; a module that wants it otherwise has fixtures of its own by these names."""

from collections.abc import AsyncIterator

import pytest

from tests.support.ec2_door import Door, ec2_door
from tests.support.server_world import World


@pytest.fixture
async def door(world: World) -> AsyncIterator[Door]:
    """The EC2 API of a world, through boto3."""
    async with ec2_door(world.api) as door:
        yield door
