"""A task is one accepted API action on one server: what was asked, what came of it, and the move it may be.

Its id fences every later write about the server (novaflow/db/servers.py); the instance actions and migrations of the API are these records.
"""

from datetime import datetime
from typing import Final

from novaflow.models import BuildPlan, Flavor, Value
from novaflow.states import Vm

ABORTING: Final = "aborting"
"""The status of a live migration that is not wanted any more and whose source has still to end it. Nova has no word for it: running."""


class TaskParams(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What an action was asked with, kept with its task so that it can be ordered again. Passwords are not in it: they are not kept."""

    hard: bool = False  # of a reboot
    image_id: str = ""  # the rescue system, or the image that a snapshot fills
    image_name: str = ""
    rotation: int = 0  # backups of this type to keep
    backup_type: str = ""
    migration_id: int = 0  # the row of a resize or of any other move
    target_host: str = ""  # where an administrator wants it; empty: the scheduler chooses
    keeps_off: bool = False  # it was stopped before: it shall be so afterwards
    keeps_fault: bool = False
    availability_zone: str = ""  # of an unshelve that names one


class Migration(Value, frozen=True, kw_only=True):
    """One move of a server to another host or flavor: Nova's migration record, with its statuses.

    While it is under way two hosts hold room for the server: its own, and `claim_host`, which keeps `claim_flavor`'s.
    """

    id: int
    uuid: str
    server_id: str
    task_id: str
    type: str  # resize, migration, live-migration, evacuation
    # accepted, pre-migrating, migrating, post-migrating, finished, confirming, confirmed, reverting, reverted, aborting, cancelled, completed,
    # error, done
    status: str
    source_host: str
    old_flavor: Flavor
    new_flavor: Flavor
    old_vm: Vm
    project_id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    dest_host: str | None = None
    claim_host: str | None = None

    @property
    def is_to_same_host(self) -> bool:
        """A resize in place."""
        return self.dest_host == self.source_host


class TaskRecord(Value, frozen=True, kw_only=True):
    """One accepted API action on one server: Nova's instance action. `state` is running, done, error or superseded."""

    id: str
    server_id: str
    action: str  # create, delete, start, stop, reboot ... as Nova's instance_actions.py names them
    request_id: str
    user_id: str
    project_id: str
    state: str
    created_at: datetime
    updated_at: datetime
    message: str | None = None
    host: str | None = None
    attempts: int = 1
    finished_at: datetime | None = None
    params: TaskParams = TaskParams()


class Assignment(Value, frozen=True, kw_only=True):
    """All that a compute host needs to carry out a task: the server as it is, how it was made, what was asked, and where it moves."""

    plan: BuildPlan
    action: str
    params: TaskParams = TaskParams()
    migration: Migration | None = None

    def __repr__(self) -> str:
        return f"Assignment(server_id={self.plan.server.id!r}, action={self.action!r})"


class TaskEvent(Value, frozen=True, kw_only=True):
    """One step of a task on one host: Nova's instance action event."""

    name: str
    host: str | None
    result: str | None  # Success, Error or None while it runs
    started_at: datetime
    finished_at: datetime | None = None
    details: str | None = None
