"""A plan carried out: one cloud after the other, since one in which something went wrong is not trusted again."""

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

from tests.crash_matrix.cloud import TwoHosts, two_hosts
from tests.crash_matrix.pace import Pace
from tests.crash_matrix.planning import Plan
from tests.crash_matrix.volley import Result, Volley, fire
from tests.support.rest_actions import make_twin

SHELVED: Final = 3600.0  # seconds a shelved server stays on its host
IMAGE_BYTES: Final = 65536


async def run(
    plan: Plan,
    directory: Path,
    delay: float,
    note: Callable[[Result], None],
    *,
    shelved: float = SHELVED,
    until: float | None = None,
) -> None:
    """Fire every volley of the plan, or those that can begin before `until` (of the monotonic clock); `note` hears of each."""
    volleys, number, pace = plan.volleys(), 0, Pace()
    volley = next(volleys, None)
    while volley is not None:
        async with two_hosts(directory / f"cloud-{number}", delay=delay, shelved=shelved) as cloud:
            volley = await _on_one_cloud(cloud, plan, volley, volleys, pace, note, until)
        number += 1


async def _on_one_cloud(
    cloud: TwoHosts,
    plan: Plan,
    volley: Volley,
    volleys: Iterator[Volley],
    pace: Pace,
    note: Callable[[Result], None],
    until: float | None,
) -> Volley | None:
    """As many volleys as this cloud stands; answers the next one, for a fresh cloud."""
    image = await image_of(cloud)
    following: Volley | None = volley
    while following is not None and (until is None or time.monotonic() < until):
        result = await fire(cloud, following, image, pace)
        plan.met(result)
        note(result)
        following = next(volleys, None)
        if not result.is_clean:
            return following
    return None


async def image_of(cloud: TwoHosts) -> str:
    """What the servers are made of: a guest with an agent, so that it can be given a password."""
    facts = {"disk_format": "raw", "container_format": "bare", "visibility": "public", "hw_qemu_guest_agent": "yes"}
    await make_twin(cloud.client)
    return await cloud.client.upload_image("crashes", BytesIO(bytes(IMAGE_BYTES)), **facts)
