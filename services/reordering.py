"""Which order an unfinished task is waiting for: pure, from where the server is and what the task was asked with.

A worker is told no more than whose task it works on, so an order can always be made again from the records. What it leads to is
the worker's business: every handler may see its order twice, late, or after a crash in the middle.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from novaflow.messages import (
    BACKUP_INSTANCE,
    CONFIRM_RESIZE,
    FINISH_REVERT_RESIZE,
    LIVE_MIGRATION,
    MOVE_SERVER,
    PAUSE_INSTANCE,
    REBOOT_INSTANCE,
    REBUILD_INSTANCE,
    RESCUE_INSTANCE,
    RESIZE_INSTANCE,
    RESTORE_INSTANCE,
    RESUME_INSTANCE,
    REVERT_RESIZE,
    ROLL_BACK_RESIZE,
    SHELVE_INSTANCE,
    SHELVE_OFFLOAD_INSTANCE,
    SNAPSHOT_INSTANCE,
    SOFT_DELETE_INSTANCE,
    START_INSTANCE,
    STOP_INSTANCE,
    SUSPEND_INSTANCE,
    TERMINATE_INSTANCE,
    UNPAUSE_INSTANCE,
    UNRESCUE_INSTANCE,
    UNSHELVE_INSTANCE,
)
from novaflow.models import Server
from novaflow.states import Task, Vm
from novaflow.tasks import Migration
from rpc.procedure import Cast

ROLLED_BACK: Final = "reverting"  # the status of a resize whose destination could not finish it

_AT_THE_HOST: Final[Mapping[Task, Cast[Any]]] = MappingProxyType(
    {
        Task.POWERING_OFF: STOP_INSTANCE,
        Task.POWERING_ON: START_INSTANCE,
        Task.PAUSING: PAUSE_INSTANCE,
        Task.UNPAUSING: UNPAUSE_INSTANCE,
        Task.SUSPENDING: SUSPEND_INSTANCE,
        Task.RESUMING: RESUME_INSTANCE,
        Task.REBOOTING: REBOOT_INSTANCE,
        Task.REBOOT_PENDING: REBOOT_INSTANCE,
        Task.REBOOT_STARTED: REBOOT_INSTANCE,
        Task.REBOOTING_HARD: REBOOT_INSTANCE,
        Task.REBOOT_PENDING_HARD: REBOOT_INSTANCE,
        Task.REBOOT_STARTED_HARD: REBOOT_INSTANCE,
        Task.RESCUING: RESCUE_INSTANCE,
        Task.UNRESCUING: UNRESCUE_INSTANCE,
        Task.IMAGE_SNAPSHOT_PENDING: SNAPSHOT_INSTANCE,
        Task.IMAGE_SNAPSHOT: SNAPSHOT_INSTANCE,
        Task.IMAGE_BACKUP: BACKUP_INSTANCE,
        Task.REBUILD_BLOCK_DEVICE_MAPPING: REBUILD_INSTANCE,
        Task.REBUILD_SPAWNING: REBUILD_INSTANCE,
        Task.SHELVING: SHELVE_INSTANCE,
        Task.SHELVING_IMAGE_PENDING_UPLOAD: SHELVE_INSTANCE,
        Task.SHELVING_IMAGE_UPLOADING: SHELVE_INSTANCE,
        Task.SHELVING_OFFLOADING: SHELVE_OFFLOAD_INSTANCE,
        Task.SOFT_DELETING: SOFT_DELETE_INSTANCE,
        Task.RESTORING: RESTORE_INSTANCE,
        Task.DELETING: TERMINATE_INSTANCE,
    }
)
_FOR_AN_IMAGE: Final[Mapping[str, Cast[Any]]] = MappingProxyType(
    {"createImage": SNAPSHOT_INSTANCE, "createBackup": BACKUP_INSTANCE}
)
_UPLOADS: Final = (Task.IMAGE_PENDING_UPLOAD, Task.IMAGE_UPLOADING)


def order_of(server: Server, action: str, move: Migration | None) -> Cast[Any] | None:
    """The order, addressed to whom it goes; None for a task that cannot be ordered again, because a password is not kept.

    A server that is being built is not asked about here: services.recovery knows how builds go on.
    """
    task = server.task
    if task is Task.UPDATING_PASSWORD:
        return None
    if task in _UPLOADS:
        return _at(server.host, _FOR_AN_IMAGE[action])
    if server.vm in (Vm.SHELVED, Vm.SHELVED_OFFLOADED) and action == "unshelve":
        return _at(server.host, UNSHELVE_INSTANCE)
    if task is Task.REBUILDING:
        waits = move is not None and server.host == move.source_host
        return MOVE_SERVER if waits else _at(server.host, REBUILD_INSTANCE)
    if task in _AT_THE_HOST:
        return _at(server.host, _AT_THE_HOST[task])
    return _moving(server, move) if move else None


def _moving(server: Server, move: Migration) -> Cast[Any]:
    """A resize goes on at its source, which offers what the destination needs; there is nobody else who could."""
    source = move.source_host
    if server.task is Task.RESIZE_PREP or (server.task is Task.MIGRATING and move.claim_host is None):
        return MOVE_SERVER
    if server.task is Task.MIGRATING:
        return LIVE_MIGRATION.at(source)
    if server.task is Task.RESIZE_MIGRATING and move.status == ROLLED_BACK:
        return ROLL_BACK_RESIZE.at(source)
    if server.task is Task.RESIZE_CONFIRMING:
        return CONFIRM_RESIZE.at(source)
    if server.task is Task.RESIZE_REVERTING:
        is_cleared = (server.host, server.flavor.id) == (source, move.old_flavor.id) and move.type == "resize"
        is_cleared |= server.host == source != move.dest_host
        return FINISH_REVERT_RESIZE.at(source) if is_cleared else REVERT_RESIZE.at(move.dest_host or source)
    return RESIZE_INSTANCE.at(source)


def _at(host: str | None, procedure: Cast[Any]) -> Cast[Any]:
    """At the server's host; a server without one that waits for one is the scheduler's."""
    return MOVE_SERVER if host is None else procedure.at(host)
