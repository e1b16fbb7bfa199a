"""The steps of a task as Nova's instance action events, read from the history of its server.

Nova writes two rows for each event; here the transitions that are recorded anyway say the same: on which host a worker took the task
up, when it ended there, and how. Names are those of nova/compute/manager.py, `wrap_instance_event`.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Final

import msgspec

from novaflow.models import TaskEvent, TaskRecord, Value
from novaflow.states import ENDINGS, Event

SUCCESS: Final = "Success"
ERROR: Final = "Error"
NAMES: Final = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "forceDelete": "compute_terminate_instance",
    "changePassword": "compute_set_admin_password",
    "createImage": "compute_snapshot_instance",
    "createBackup": "compute_backup_instance",
    "resize": "compute_resize_instance",
    "migrate": "compute_resize_instance",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "live-migration": "compute_live_migration",
    "evacuate": "compute_rebuild_instance",
    "shelveOffload": "compute_shelve_offload_instance",
}
"""Those that are not `compute_<action>_instance`."""
_FAILED: Final = frozenset(
    {Event.RESCHEDULED, Event.BUILD_FAILED, Event.FAILED, Event.BROKEN, Event.RESIZE_ROLLED_BACK}
)
_LEFT: Final = frozenset(
    {Event.RESIZE_MIGRATED, Event.REVERT_CLEARED}
)  # the host has done its part, another one goes on
_SUCCEEDED: Final = (ENDINGS - _FAILED) | _LEFT


class Move(Value, frozen=True, kw_only=True):
    """One row of a task's history."""

    event: Event
    host: str | None
    at: datetime


def steps_of(task: TaskRecord, moves: Iterable[Move]) -> list[TaskEvent]:
    """One step per host that worked on the task, in the order of `moves`; a step that runs has no result yet.

    Why the task failed is told by its last step, if that failed.
    """
    name = NAMES.get(task.action, f"compute_{task.action}_instance")
    placed = [move for move in moves if move.host is not None]
    steps = [_step(name, list(group)) for _, group in groupby(placed, key=lambda move: move.host)]
    if steps and steps[-1].result == ERROR:
        steps[-1] = msgspec.structs.replace(steps[-1], details=task.message)
    return steps


def _step(name: str, moves: list[Move]) -> TaskEvent:
    last = moves[-1]
    result = SUCCESS if last.event in _SUCCEEDED else ERROR if last.event in _FAILED else None
    finished_at = last.at if result else None
    return TaskEvent(name=name, host=last.host, result=result, started_at=moves[0].at, finished_at=finished_at)
