"""A sample of the crash matrix: one kill of every process, with ten servers under way. `make crash-matrix` runs all of it.

NOVAFLOW_CRASH_SEED chooses other moments.
"""

import os
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest
import pytest_asyncio

from tests.crash_matrix.cases import AFTER, REQUEST, TRIAL, Cell
from tests.crash_matrix.cloud import DESTINATION, SOURCE, TwoHosts, two_hosts
from tests.crash_matrix.pace import Pace
from tests.crash_matrix.running import SHELVED, image_of
from tests.crash_matrix.volley import Volley, fire

SEED: Final = os.environ.get("NOVAFLOW_CRASH_SEED", "sample")
DELAY: Final = 0.4  # seconds
PACE: Final = Pace()
# Who dies, and the points of actions at which: when the first server is seen there, with the others about there.
# fmt: off
KILLS: Final[dict[str, Sequence[tuple[str, str]]]] = {
    SOURCE: (
        ("resize", "resize_migrating"), ("migrate", "resize_migrated"), ("live migrate", "migrating"),
        ("revert", "resize_reverting"), ("confirm", "resize_confirming"), ("rebuild", "rebuild_spawning"),
        ("create image", "image_snapshot"), ("shelve", "shelving"), ("reboot", "reboot_started"),
        ("soft delete", "soft-deleting"), ("attach volume", "attaching"), ("delete in a detach volume", "deleting"),
    ),
    DESTINATION: (
        ("resize", "resize_finish"), ("resize of a stopped", "resize_migrated"), ("migrate", "resize_prep"),
        ("live migrate", "migrating"), ("live migrate of a paused", REQUEST), ("revert", "resize_reverting"),
        ("revert of a stopped", "resize_reverting"), ("confirm of a stopped", AFTER),
        ("unshelve of an offloaded", "spawning"), ("force delete of a resized", "deleting"),
    ),
    "conductor": (
        ("migrate", "resize_migrated"), ("resize", "resize_finish"), ("live migrate", "migrating"),
        ("rebuild of a stopped", "rebuild_block_device_mapping"), ("create backup", "image_uploading"),
        ("unshelve", "powering-on"), ("restore", "restoring"), ("hard reboot", "reboot_pending_hard"),
        ("boot", "spawning"), ("rescue", "rescuing"), ("detach volume", "detaching"), ("copy volume", "creating"),
    ),
    "scheduler": (
        ("resize", "resize_prep"), ("migrate", REQUEST), ("live migrate", "migrating"), ("boot", "scheduling"),
        ("unshelve of an offloaded", "unshelving"), ("resize of a stopped", "resize_migrating"),
    ),
    "api": (
        ("boot", REQUEST), ("resize", REQUEST), ("create image", REQUEST), ("shelve", REQUEST),
        ("live migrate", REQUEST), ("rebuild", "rebuilding"), ("force delete", "deleting"), ("stop", "powering-off"),
        ("create volume", REQUEST), ("attach volume of another time", REQUEST),
    ),
    "image": (
        ("shelve", "shelving_image_uploading"), ("create image", "image_uploading"),
        ("create image of a stopped", "image_snapshot"), ("create backup", "image_backup"), ("offload", AFTER),
        ("unshelve of an offloaded", "unshelving"),
    ),
    "broker": (
        ("live migrate", "migrating"), ("resize", "resize_migrating"), ("revert", "resize_reverting"),
        ("rebuild", "rebuild_spawning"), ("shelve", "shelving"), ("unrescue", "unrescuing"), ("start", "powering-on"),
        ("suspend", "suspending"), ("boot", "networking"), ("restore", REQUEST),
        ("attach volume of a stopped", "attaching"), ("delete snapshot", "deleting"),
    ),
    "database": (
        ("migrate", "resize_migrating"), ("resize", REQUEST), ("confirm", "resize_confirming"),
        ("live migrate", AFTER), ("create image", "image_snapshot_pending"), ("reboot", "rebooting"),
        ("unshelve of an offloaded", "spawning"), ("soft delete", "soft-deleting"), ("pause", "pausing"),
        ("resume", "resuming"), ("delete volume", "deleting"), ("snapshot volume of a running", "creating"),
    ),
}
# fmt: on

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TwoHosts]:
    """One cloud, hurt by every test of this file and whole after each."""
    async with two_hosts(tmp_path_factory.mktemp("matrix"), delay=DELAY, shelved=SHELVED) as cloud:
        yield cloud


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(cloud: TwoHosts) -> str:
    """What the servers are made of."""
    return await image_of(cloud)


@pytest.mark.parametrize("victim", KILLS)
async def test_whatever_runs_when_a_process_is_killed_ends_as_the_table_says_and_leaves_nothing(
    cloud: TwoHosts, image: str, victim: str
) -> None:
    leader, *riders = (Cell(TRIAL[name], victim, point) for name, point in KILLS[victim])

    result = await fire(cloud, Volley([*KILLS].index(victim), SEED, leader, riders), image, PACE)

    print(*(f"{case.cell}: {case.verdict.outcome} {case.verdict.text}" for case in result.cases), sep="\n")
    assert [f"{case.cell}: {case.problems}" for case in result.cases if case.problems] == []
    assert result.unowned == []
