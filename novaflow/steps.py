"""The steps of a task as Nova's instance action events, read from the history of its server.

Nova writes two rows for each event; here the transitions that are recorded anyway say the same: on which host a worker took the task
up, when it ended there, and how. Names are those of nova/compute/manager.py: `wrap_instance_event` puts `compute_` before its method's.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from novaflow.models import Value
from novaflow.states import ENDINGS, Event
from novaflow.tasks import TaskEvent, TaskRecord

SUCCESS: Final = "Success"
ERROR: Final = "Error"
NAMES: Final = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "forceDelete": "compute_terminate_instance",
    "changePassword": "compute_set_admin_password",
    "createImage": "compute_snapshot_instance",
    "createBackup": "compute_backup_instance",
    "shelveOffload": "compute_shelve_offload_instance",
    "evacuate": "compute_rebuild_instance",
    "migrate": "compute_resize_instance",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "live-migration": "compute_live_migration",
}
"""By action; `compute_<action>_instance` where nothing is said."""
_OWN_NAMES: Final = {
    Event.SOFT_DELETE_ORDERED: "compute_soft_delete_instance",
    Event.OFFLOADED: "compute_shelve_offload_instance",
    Event.RESIZE_FINISHING: "compute_finish_resize",
    Event.RESIZED: "compute_finish_resize",
    Event.RESIZE_ROLLED_BACK: "compute_finish_resize",
    Event.REVERTED: "compute_finish_revert_resize",
    Event.REVERTED_OFF: "compute_finish_revert_resize",
}
"""By event, where another method of the host takes over within one task."""
_NO_STEPS: Final = frozenset(
    {Event.RESIZE_ORDERED, Event.CONFIRM_ORDERED, Event.EVACUATE_ORDERED, Event.EVACUATION_PLACED}
)
"""What happens before any host, or another than the one the server is on, has something to do."""
_FAILED: Final = frozenset(
    {
        Event.RESCHEDULED,
        Event.BUILD_FAILED,
        Event.FAILED,
        Event.BROKEN,
        Event.RESIZE_ROLLED_BACK,
        Event.UNSHELVE_UNPLACED,
    }
)
_HANDED_ON: Final = frozenset({Event.RESIZE_MIGRATED, Event.REVERT_CLEARED, Event.SHELVED_FOR_OFFLOAD})
_SUCCEEDED: Final = (ENDINGS | _HANDED_ON) - _FAILED


class Move(Value, frozen=True, kw_only=True):
    """One row of a task's history."""

    event: Event
    host: str | None
    at: datetime


def steps_of(task: TaskRecord, moves: Iterable[Move]) -> list[TaskEvent]:
    """One step per host that worked on the task, and per method of it, in the order of `moves`; one that runs has no result yet.

    Why the task failed is told by its last step, if that failed.
    """
    steps: list[TaskEvent] = []
    for move in moves:
        _add(steps, move, task.action)
    if steps and steps[-1].result == ERROR:
        steps[-1] = msgspec.structs.replace(steps[-1], details=task.message)
    return steps


def _add(steps: list[TaskEvent], move: Move, action: str) -> None:
    last = steps[-1] if steps and steps[-1].result is None else None
    host = move.host or (
        last.host if last else None
    )  # what the conductor says of a step is about the host that runs it
    if host is None or move.event in _NO_STEPS:
        return
    name = _OWN_NAMES.get(move.event) or (last.name if last else NAMES.get(action, f"compute_{action}_instance"))
    if last is None or (last.host, last.name) != (host, name):
        steps.append(TaskEvent(name=name, host=host, result=None, started_at=move.at))
    result = SUCCESS if move.event in _SUCCEEDED else ERROR if move.event in _FAILED else None
    if result:
        steps[-1] = msgspec.structs.replace(steps[-1], result=result, finished_at=move.at)
