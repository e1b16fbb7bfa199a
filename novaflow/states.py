"""The life of a server: every state it can be in and every event that moves it.

This table is the only authority. The database moves a server with one conditional UPDATE per row below, the API
derives its status and its refusals from it, the docs are drawn from it and the tests enumerate it. To teach novaflow a
new operation, add rows here first. Names and values are Nova's (nova/compute/vm_states.py,
task_states.py, nova/objects/fields.py InstancePowerState, nova/api/openstack/common.py, and for who may do what from where
nova/compute/api.py). Where releases differ, the table is the current one's (decision 11).
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from novaflow.errors import IllegalTransition


class Vm(StrEnum):
    """vm_state: what a server is when nothing is being done to it."""

    BUILDING = "building"
    ACTIVE = "active"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RESCUED = "rescued"
    RESIZED = "resized"
    SOFT_DELETED = "soft-delete"
    DELETED = "deleted"
    ERROR = "error"
    SHELVED = "shelved"
    SHELVED_OFFLOADED = "shelved_offloaded"


class Task(StrEnum):
    """task_state: what is being done to a server. IDLE is Nova's null."""

    IDLE = ""
    # build
    SCHEDULING = "scheduling"
    NETWORKING = "networking"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    SPAWNING = "spawning"
    # power
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    REBOOTING = "rebooting"
    REBOOT_PENDING = "reboot_pending"
    REBOOT_STARTED = "reboot_started"
    REBOOTING_HARD = "rebooting_hard"
    REBOOT_PENDING_HARD = "reboot_pending_hard"
    REBOOT_STARTED_HARD = "reboot_started_hard"
    # images
    IMAGE_SNAPSHOT_PENDING = "image_snapshot_pending"
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_BACKUP = "image_backup"
    IMAGE_PENDING_UPLOAD = "image_pending_upload"
    IMAGE_UPLOADING = "image_uploading"
    # another disk, another system, another password
    REBUILDING = "rebuilding"
    REBUILD_BLOCK_DEVICE_MAPPING = "rebuild_block_device_mapping"
    REBUILD_SPAWNING = "rebuild_spawning"
    RESCUING = "rescuing"
    UNRESCUING = "unrescuing"
    UPDATING_PASSWORD = "updating_password"  # noqa: S105
    # another flavor, another host
    RESIZE_PREP = "resize_prep"
    RESIZE_MIGRATING = "resize_migrating"
    RESIZE_MIGRATED = "resize_migrated"
    RESIZE_FINISH = "resize_finish"
    RESIZE_REVERTING = "resize_reverting"
    RESIZE_CONFIRMING = "resize_confirming"
    MIGRATING = "migrating"
    # shelf
    SHELVING = "shelving"
    SHELVING_IMAGE_PENDING_UPLOAD = "shelving_image_pending_upload"
    SHELVING_IMAGE_UPLOADING = "shelving_image_uploading"
    SHELVING_OFFLOADING = "shelving_offloading"
    UNSHELVING = "unshelving"
    # end
    SOFT_DELETING = "soft-deleting"
    RESTORING = "restoring"
    DELETING = "deleting"

    @property
    def wire(self) -> str | None:
        """As the API shows it: null when nothing is being done. Nova has a name for confirming a resize and never shows it."""
        return None if self in (Task.IDLE, Task.RESIZE_CONFIRMING) else self.value


class Power(IntEnum):
    """power_state, as the hypervisor reports it; the numbers are Nova's."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7


class Event(StrEnum):
    """What can happen to a server."""

    # orders: an API action was accepted
    CREATE_ORDERED = "create_ordered"  # the server is made: the one event without a state before it
    DELETE_ORDERED = "delete_ordered"
    SOFT_DELETE_ORDERED = "soft_delete_ordered"
    RESTORE_ORDERED = "restore_ordered"
    STOP_ORDERED = "stop_ordered"
    FORCE_STOP_ORDERED = "force_stop_ordered"  # the cloud's own: the guest is down already
    START_ORDERED = "start_ordered"
    REBOOT_ORDERED = "reboot_ordered"
    HARD_REBOOT_ORDERED = "hard_reboot_ordered"
    PAUSE_ORDERED = "pause_ordered"
    UNPAUSE_ORDERED = "unpause_ordered"
    SUSPEND_ORDERED = "suspend_ordered"
    RESUME_ORDERED = "resume_ordered"
    RESCUE_ORDERED = "rescue_ordered"
    UNRESCUE_ORDERED = "unrescue_ordered"
    PASSWORD_ORDERED = "password_ordered"  # noqa: S105
    REBUILD_ORDERED = "rebuild_ordered"
    EVACUATE_ORDERED = "evacuate_ordered"
    RESIZE_ORDERED = "resize_ordered"  # a cold migration is a resize to the same flavor
    CONFIRM_ORDERED = "confirm_ordered"
    REVERT_ORDERED = "revert_ordered"
    LIVE_MIGRATION_ORDERED = "live_migration_ordered"
    SNAPSHOT_ORDERED = "snapshot_ordered"
    BACKUP_ORDERED = "backup_ordered"
    SHELVE_ORDERED = "shelve_ordered"
    OFFLOAD_ORDERED = "offload_ordered"
    UNSHELVE_ORDERED = "unshelve_ordered"
    RESET_TO_ACTIVE = "reset_to_active"
    RESET_TO_ERROR = "reset_to_error"
    # reports: a worker got this far
    BUILD_STARTED = "build_started"
    NETWORK_WANTED = "network_wanted"
    DEVICES_WANTED = "devices_wanted"
    SPAWN_STARTED = "spawn_started"
    SPAWNED = "spawned"
    RESCHEDULED = "rescheduled"
    REBOOT_PENDING = "reboot_pending"
    REBOOT_STARTED = "reboot_started"
    REBOOTED = "rebooted"
    STOPPED = "stopped"
    STARTED = "started"
    PAUSED = "paused"
    UNPAUSED = "unpaused"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    RESCUED = "rescued"
    UNRESCUED = "unrescued"
    PASSWORD_SET = "password_set"  # noqa: S105
    EVACUATION_PLACED = "evacuation_placed"  # the server has its new host
    REBUILD_DEVICES_WANTED = "rebuild_devices_wanted"
    REBUILD_SPAWN_STARTED = "rebuild_spawn_started"
    REBUILT = "rebuilt"
    REBUILT_OFF = "rebuilt_off"  # it was stopped before: it is switched off again
    RESIZE_MIGRATING = "resize_migrating"
    RESIZE_MIGRATED = "resize_migrated"  # the server is its new host's
    RESIZE_FINISHING = "resize_finishing"
    RESIZE_ROLLED_BACK = "resize_rolled_back"  # the new host could not take it: it is its old host's again
    RESIZED = "resized"
    CONFIRMED = "confirmed"
    CONFIRMED_OFF = "confirmed_off"
    REVERT_CLEARED = "revert_cleared"  # the server is its old host's again
    REVERTED = "reverted"
    REVERTED_OFF = "reverted_off"  # it was stopped before: it is switched off again
    LIVE_MIGRATED = "live_migrated"  # the server is its new host's
    ABORT_WANTED = (
        "abort_wanted"  # an administrator does not want the live migration any more: its source has still to hear it
    )
    COMPLETION_WANTED = "completion_wanted"  # he wants it over soon
    LIVE_MIGRATION_CANCELLED = "live_migration_cancelled"  # as was wanted
    SNAPSHOT_STARTED = "snapshot_started"
    UPLOAD_WANTED = "upload_wanted"
    UPLOAD_STARTED = "upload_started"
    UPLOADED = "uploaded"
    SHELVED = "shelved"
    SHELVED_FOR_OFFLOAD = "shelved_for_offload"  # and goes on to be offloaded
    OFFLOADED = "offloaded"
    UNSHELVE_POWERING_ON = "unshelve_powering_on"
    UNSHELVE_SPAWNING = "unshelve_spawning"
    UNSHELVE_UNPLACED = "unshelve_unplaced"  # the host did not take it: another one shall
    UNSHELVED = "unshelved"
    SOFT_DELETED = "soft_deleted"
    RESTORED = "restored"
    DELETED = "deleted"
    # a task ended without success
    BUILD_FAILED = "build_failed"
    FAILED = "failed"  # the server is as it was before
    BROKEN = "broken"  # the server is of no use any more


@dataclass(frozen=True)
class State:
    """A server's stable state, the transition it is in, and the status the API shows for the two."""

    vm: Vm
    task: Task
    status: str

    def __str__(self) -> str:
        return f"{self.vm}/{self.task or 'none'}"


@dataclass(frozen=True)
class Rule:
    """When `event` happens in `before`, the server is in `after`."""

    event: Event
    before: State
    after: State


@dataclass(frozen=True)
class Action:
    """What the API may order. `name` is Nova's name of the instance action and in its refusals.

    `is_locked_out`: on a locked server only administrators may. `needs_launch`: only on a server that was active once.
    """

    name: str
    is_locked_out: bool = True
    needs_launch: bool = True


# fmt: off
# nova/api/openstack/common.py, _STATE_MAP
_STATUS: Final = {
    Vm.BUILDING: "BUILD", Vm.ACTIVE: "ACTIVE", Vm.PAUSED: "PAUSED", Vm.SUSPENDED: "SUSPENDED", Vm.STOPPED: "SHUTOFF",
    Vm.RESCUED: "RESCUE", Vm.RESIZED: "VERIFY_RESIZE", Vm.SOFT_DELETED: "SOFT_DELETED", Vm.DELETED: "DELETED",
    Vm.ERROR: "ERROR", Vm.SHELVED: "SHELVED", Vm.SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
}
_REBUILDS: Final = (Task.REBUILDING, Task.REBUILD_BLOCK_DEVICE_MAPPING, Task.REBUILD_SPAWNING)
_RESIZES: Final = (Task.RESIZE_PREP, Task.RESIZE_MIGRATING, Task.RESIZE_MIGRATED, Task.RESIZE_FINISH)
_STATUS_WHILE: Final = {
    **{(Vm.ACTIVE, task): "REBOOT" for task in (Task.REBOOTING, Task.REBOOT_PENDING, Task.REBOOT_STARTED)},
    **{(Vm.ACTIVE, task): "HARD_REBOOT"
       for task in (Task.REBOOTING_HARD, Task.REBOOT_PENDING_HARD, Task.REBOOT_STARTED_HARD)},
    **{(vm, task): "REBUILD" for vm in (Vm.ACTIVE, Vm.STOPPED, Vm.ERROR) for task in _REBUILDS},
    **{(vm, task): "RESIZE" for vm in (Vm.ACTIVE, Vm.STOPPED) for task in _RESIZES},
    **{(vm, Task.MIGRATING): "MIGRATING" for vm in (Vm.ACTIVE, Vm.PAUSED)},
    (Vm.ACTIVE, Task.UPDATING_PASSWORD): "PASSWORD",
    (Vm.RESIZED, Task.RESIZE_REVERTING): "REVERT_RESIZE",
}


def _state(vm: Vm, task: Task = Task.IDLE) -> State:
    return State(vm, task, status=_STATUS_WHILE.get((vm, task), _STATUS[vm]))


SCHEDULING        = _state(Vm.BUILDING, Task.SCHEDULING)
BUILD_ACCEPTED    = _state(Vm.BUILDING)
NETWORKING        = _state(Vm.BUILDING, Task.NETWORKING)
MAPPING_DEVICES   = _state(Vm.BUILDING, Task.BLOCK_DEVICE_MAPPING)
SPAWNING          = _state(Vm.BUILDING, Task.SPAWNING)
ACTIVE            = _state(Vm.ACTIVE)
PAUSED            = _state(Vm.PAUSED)
SUSPENDED         = _state(Vm.SUSPENDED)
SHUTOFF           = _state(Vm.STOPPED)
RESCUED           = _state(Vm.RESCUED)
RESIZED           = _state(Vm.RESIZED)
SOFT_DELETED      = _state(Vm.SOFT_DELETED)
ERROR             = _state(Vm.ERROR)
SHELVED           = _state(Vm.SHELVED)
OFFLOADED         = _state(Vm.SHELVED_OFFLOADED)
GONE              = _state(Vm.DELETED)

_BUILDING         = (SCHEDULING, BUILD_ACCEPTED, NETWORKING, MAPPING_DEVICES, SPAWNING)
_SETTLED          = (ACTIVE, PAUSED, SUSPENDED, SHUTOFF, RESCUED, RESIZED, SOFT_DELETED, ERROR, SHELVED, OFFLOADED)
_STAYS            = None  # the server is afterwards what it was before

# One order, one task_state, one report.
_PLAIN = (
    # ordered by                    in these states           is now                  until              and then is
    (Event.STOP_ORDERED,            (ACTIVE, ERROR),          Task.POWERING_OFF,      Event.STOPPED,       SHUTOFF),
    (Event.FORCE_STOP_ORDERED,      (ACTIVE, PAUSED),         Task.POWERING_OFF,      Event.STOPPED,       SHUTOFF),
    (Event.START_ORDERED,           (SHUTOFF,),               Task.POWERING_ON,       Event.STARTED,       ACTIVE),
    (Event.PAUSE_ORDERED,           (ACTIVE,),                Task.PAUSING,           Event.PAUSED,        PAUSED),
    (Event.UNPAUSE_ORDERED,         (PAUSED,),                Task.UNPAUSING,         Event.UNPAUSED,      ACTIVE),
    (Event.SUSPEND_ORDERED,         (ACTIVE,),                Task.SUSPENDING,        Event.SUSPENDED,     SUSPENDED),
    (Event.RESUME_ORDERED,          (SUSPENDED,),             Task.RESUMING,          Event.RESUMED,       ACTIVE),
    (Event.RESCUE_ORDERED,          (ACTIVE, SHUTOFF, ERROR), Task.RESCUING,          Event.RESCUED,       RESCUED),
    (Event.UNRESCUE_ORDERED,        (RESCUED,),               Task.UNRESCUING,        Event.UNRESCUED,     ACTIVE),
    (Event.PASSWORD_ORDERED,        (ACTIVE,),                Task.UPDATING_PASSWORD, Event.PASSWORD_SET,  ACTIVE),
    (Event.CONFIRM_ORDERED,         (RESIZED,),               Task.RESIZE_CONFIRMING, Event.CONFIRMED,     ACTIVE),
    (Event.REVERT_ORDERED,          (RESIZED,),               Task.RESIZE_REVERTING,  Event.REVERTED,      ACTIVE),
    (Event.LIVE_MIGRATION_ORDERED,  (ACTIVE, PAUSED),         Task.MIGRATING,         Event.LIVE_MIGRATED, _STAYS),
    (Event.OFFLOAD_ORDERED,         (SHELVED,),               Task.SHELVING_OFFLOADING, Event.OFFLOADED,   OFFLOADED),
    (Event.RESTORE_ORDERED,         (SOFT_DELETED,),          Task.RESTORING,         Event.RESTORED,      ACTIVE),
    (Event.SOFT_DELETE_ORDERED,
     (ACTIVE, PAUSED, SUSPENDED, SHUTOFF, RESCUED, ERROR, SHELVED), Task.SOFT_DELETING, Event.SOFT_DELETED, SOFT_DELETED),
)

# One order, several task_states, each entered by a report.
_IMAGING = (ACTIVE, SHUTOFF, PAUSED, SUSPENDED)
_UPLOAD = ((Event.UPLOAD_WANTED, Task.IMAGE_PENDING_UPLOAD), (Event.UPLOAD_STARTED, Task.IMAGE_UPLOADING))
_REBUILD = ((Event.REBUILD_DEVICES_WANTED, Task.REBUILD_BLOCK_DEVICE_MAPPING),
            (Event.REBUILD_SPAWN_STARTED,  Task.REBUILD_SPAWNING))
_CHAINS = (
    # in these states  task_states, each with the event it is entered by                              until            and then is
    (_IMAGING, ((Event.SNAPSHOT_ORDERED,      Task.IMAGE_SNAPSHOT_PENDING),
                (Event.SNAPSHOT_STARTED,      Task.IMAGE_SNAPSHOT), *_UPLOAD),                        Event.UPLOADED,  _STAYS),
    (_IMAGING, ((Event.BACKUP_ORDERED,        Task.IMAGE_BACKUP), *_UPLOAD),                          Event.UPLOADED,  _STAYS),
    ((ACTIVE, SHUTOFF, ERROR),
               ((Event.REBUILD_ORDERED,       Task.REBUILDING), *_REBUILD),                           Event.REBUILT,   ACTIVE),
    ((ACTIVE, SHUTOFF, ERROR),
               ((Event.EVACUATE_ORDERED,      Task.REBUILDING), *_REBUILD),                           Event.REBUILT,   ACTIVE),
    ((ACTIVE, SHUTOFF),
               ((Event.RESIZE_ORDERED,        Task.RESIZE_PREP),
                (Event.RESIZE_MIGRATING,      Task.RESIZE_MIGRATING),
                (Event.RESIZE_MIGRATED,       Task.RESIZE_MIGRATED),
                (Event.RESIZE_FINISHING,      Task.RESIZE_FINISH)),                                   Event.RESIZED,   RESIZED),
    (_IMAGING, ((Event.SHELVE_ORDERED,        Task.SHELVING),
                (Event.UPLOAD_WANTED,         Task.SHELVING_IMAGE_PENDING_UPLOAD),
                (Event.UPLOAD_STARTED,        Task.SHELVING_IMAGE_UPLOADING)),                        Event.SHELVED,   SHELVED),
    ((SHELVED,), ((Event.UNSHELVE_ORDERED,    Task.UNSHELVING),
                (Event.UNSHELVE_POWERING_ON,  Task.POWERING_ON)),                                     Event.STARTED,   ACTIVE),
    ((OFFLOADED,), ((Event.UNSHELVE_ORDERED,  Task.UNSHELVING),
                (Event.UNSHELVE_SPAWNING,     Task.SPAWNING)),                                        Event.UNSHELVED, ACTIVE),
)


def _plain_rules() -> list[Rule]:
    rules = []
    for ordered, befores, task, done, after in _PLAIN:
        for before in befores:
            during = _state(before.vm, task)
            rules += [Rule(ordered, before, during), Rule(done, during, after or before)]
    return rules


def _chain_rules() -> list[Rule]:
    rules = []
    for befores, steps, done, after in _CHAINS:
        for before in befores:
            here = before
            for event, task in steps:
                rules.append(Rule(event, here, _state(before.vm, task)))
                here = rules[-1].after
            rules.append(Rule(done, here, after or before))
    return rules


_SOFT_REBOOT = tuple(_state(Vm.ACTIVE, task) for task in (Task.REBOOTING, Task.REBOOT_PENDING, Task.REBOOT_STARTED))
# What a hard reboot takes over from: guests that hang in one of these are what it is for.
_INTERRUPTED = (*_SOFT_REBOOT, _state(Vm.ACTIVE, Task.PAUSING), _state(Vm.ACTIVE, Task.SUSPENDING),
                _state(Vm.PAUSED, Task.UNPAUSING), _state(Vm.SUSPENDED, Task.RESUMING))


def _hard_reboot(vm: Vm) -> tuple[State, State, State]:
    tasks = (Task.REBOOTING_HARD, Task.REBOOT_PENDING_HARD, Task.REBOOT_STARTED_HARD)
    ordered, pending, started = (_state(vm, task) for task in tasks)
    return ordered, pending, started


_HARD_FROM = (ACTIVE, SHUTOFF, PAUSED, SUSPENDED, ERROR)
_REBOOTS = (_SOFT_REBOOT, *(_hard_reboot(settled.vm) for settled in _HARD_FROM))
_LIVE_RULES = (
    #    when this happens          in this state     it is now
    # create; a build that is taken up again after a crash starts over from wherever it was
    *(Rule(Event.BUILD_STARTED,     before,           BUILD_ACCEPTED) for before in _BUILDING),
    Rule(Event.NETWORK_WANTED,      BUILD_ACCEPTED,   NETWORKING),
    Rule(Event.DEVICES_WANTED,      NETWORKING,       MAPPING_DEVICES),
    Rule(Event.SPAWN_STARTED,       MAPPING_DEVICES,  SPAWNING),
    Rule(Event.SPAWNED,             SPAWNING,         ACTIVE),
    *(Rule(Event.RESCHEDULED,       before,           SCHEDULING) for before in _BUILDING),
    *(Rule(Event.BUILD_FAILED,      before,           ERROR) for before in _BUILDING),
    # reboots; a hard one may take over from what hangs
    Rule(Event.REBOOT_ORDERED,      ACTIVE,           _SOFT_REBOOT[0]),
    *(Rule(Event.HARD_REBOOT_ORDERED, before,         _hard_reboot(before.vm)[0]) for before in (*_HARD_FROM, *_INTERRUPTED)),
    *(Rule(Event.REBOOT_PENDING,    before,           chain[1]) for chain in _REBOOTS for before in chain),
    *(Rule(Event.REBOOT_STARTED,    chain[1],         chain[2]) for chain in _REBOOTS),
    *(Rule(Event.REBOOTED,          chain[2],         ACTIVE) for chain in _REBOOTS),
    *dict.fromkeys(_plain_rules()),  # two orders stop a server
    *dict.fromkeys(_chain_rules()),  # a rebuild and an evacuation share theirs, a snapshot and a backup too
    # what was off is switched off again
    Rule(Event.REBUILT_OFF,         _state(Vm.STOPPED, Task.REBUILD_SPAWNING), _state(Vm.ACTIVE, Task.POWERING_OFF)),
    Rule(Event.REVERTED_OFF,        _state(Vm.RESIZED, Task.RESIZE_REVERTING), _state(Vm.ACTIVE, Task.POWERING_OFF)),
    Rule(Event.CONFIRMED_OFF,       _state(Vm.RESIZED, Task.RESIZE_CONFIRMING), SHUTOFF),
    # a live migration that an administrator interferes with
    Rule(Event.COMPLETION_WANTED,   _state(Vm.ACTIVE, Task.MIGRATING), _state(Vm.ACTIVE, Task.MIGRATING)),
    *(Rule(Event.ABORT_WANTED,      _state(vm, Task.MIGRATING), _state(vm, Task.MIGRATING)) for vm in (Vm.ACTIVE, Vm.PAUSED)),
    *(Rule(Event.LIVE_MIGRATION_CANCELLED, _state(vm, Task.MIGRATING), _state(vm)) for vm in (Vm.ACTIVE, Vm.PAUSED)),
    # a server changes hosts in the middle of a task
    *(Rule(Event.EVACUATION_PLACED, _state(vm, Task.REBUILDING), _state(vm, Task.REBUILDING))
      for vm in (Vm.ACTIVE, Vm.STOPPED, Vm.ERROR)),
    *(Rule(Event.RESIZE_ROLLED_BACK, _state(vm, task), _state(vm, Task.RESIZE_MIGRATING))
      for vm in (Vm.ACTIVE, Vm.STOPPED) for task in (Task.RESIZE_MIGRATED, Task.RESIZE_FINISH)),
    Rule(Event.REVERT_CLEARED,      _state(Vm.RESIZED, Task.RESIZE_REVERTING), _state(Vm.RESIZED, Task.RESIZE_REVERTING)),
    *(Rule(Event.UNSHELVE_UNPLACED, _state(Vm.SHELVED_OFFLOADED, task), _state(Vm.SHELVED_OFFLOADED, Task.UNSHELVING))
      for task in (Task.UNSHELVING, Task.SPAWNING)),
    # an upload to the shelf that goes on to offload
    *(Rule(Event.SHELVED_FOR_OFFLOAD, _state(before.vm, Task.SHELVING_IMAGE_UPLOADING), _state(Vm.SHELVED, Task.SHELVING_OFFLOADING))
      for before in _IMAGING),
)
_LIVE = tuple(dict.fromkeys(state for rule in _LIVE_RULES for state in (rule.before, rule.after)))
_DELETING = tuple(_state(state.vm, Task.DELETING) for state in (BUILD_ACCEPTED, *_SETTLED))
_AT_WORK = tuple(state for state in _LIVE if state.task is not Task.IDLE and state.vm is not Vm.BUILDING)
STATES: Final = (*_LIVE, *_DELETING, GONE)

RULES: Final = (
    *_LIVE_RULES,
    # delete takes over from whatever runs
    *(Rule(Event.DELETE_ORDERED,    before,           _state(before.vm, Task.DELETING)) for before in (*_LIVE, *_DELETING)),
    *(Rule(Event.DELETED,           before,           GONE) for before in _DELETING),
    # a failed action leaves the server as it was, or broken; a failed delete leaves it in error
    *(Rule(Event.FAILED,            before,           _state(before.vm)) for before in _AT_WORK),
    *(Rule(Event.BROKEN,            before,           ERROR) for before in _AT_WORK),
    *(Rule(Event.FAILED,            before,           ERROR) for before in _DELETING),
    # an administrator says what is so
    *(Rule(Event.RESET_TO_ACTIVE,   before,           ACTIVE) for before in (*_LIVE, *_DELETING)),
    *(Rule(Event.RESET_TO_ERROR,    before,           ERROR) for before in (*_LIVE, *_DELETING)),
)

ACTIONS: Final = {
    Event.DELETE_ORDERED:         Action("delete", needs_launch=False),
    Event.SOFT_DELETE_ORDERED:    Action("delete"),
    Event.RESTORE_ORDERED:        Action("restore"),
    Event.STOP_ORDERED:           Action("stop"),
    Event.FORCE_STOP_ORDERED:     Action("stop", is_locked_out=False),
    Event.START_ORDERED:          Action("start"),
    Event.REBOOT_ORDERED:         Action("reboot"),
    Event.HARD_REBOOT_ORDERED:    Action("reboot"),
    Event.PAUSE_ORDERED:          Action("pause"),
    Event.UNPAUSE_ORDERED:        Action("unpause"),
    Event.SUSPEND_ORDERED:        Action("suspend"),
    Event.RESUME_ORDERED:         Action("resume"),
    Event.RESCUE_ORDERED:         Action("rescue"),
    Event.UNRESCUE_ORDERED:       Action("unrescue"),
    Event.PASSWORD_ORDERED:       Action("changePassword"),
    Event.REBUILD_ORDERED:        Action("rebuild"),
    Event.EVACUATE_ORDERED:       Action("evacuate", is_locked_out=False),
    Event.RESIZE_ORDERED:         Action("resize"),
    Event.CONFIRM_ORDERED:        Action("confirmResize"),
    Event.REVERT_ORDERED:         Action("revertResize"),
    Event.LIVE_MIGRATION_ORDERED: Action("live-migration", is_locked_out=False),
    Event.SNAPSHOT_ORDERED:       Action("createImage", is_locked_out=False),
    Event.BACKUP_ORDERED:         Action("createBackup", is_locked_out=False),
    Event.SHELVE_ORDERED:         Action("shelve"),
    Event.OFFLOAD_ORDERED:        Action("shelveOffload"),
    Event.UNSHELVE_ORDERED:       Action("unshelve"),
    Event.RESET_TO_ACTIVE:        Action("resetState", is_locked_out=False, needs_launch=False),
    Event.RESET_TO_ERROR:         Action("resetState", is_locked_out=False, needs_launch=False),
}
# fmt: on

BY_NAMES: Final = {(state.vm, state.task): state for state in STATES}
MOVES: Final = {(rule.before, rule.event): rule.after for rule in RULES}
ENDINGS: Final = frozenset(rule.event for rule in RULES if rule.after.task is Task.IDLE) - {Event.BUILD_STARTED}
"""The events that end a task: whoever's it was, the server is nobody's afterwards."""


def state_of(vm: str, task: str | None) -> State:
    """The state a row of the database names; raises KeyError for one the table does not know."""
    return BY_NAMES[Vm(vm), Task(task or "")]


def advance(before: State, event: Event) -> State:
    """Where `event` leads from `before`; raises IllegalTransition when the table has no such row."""
    try:
        return MOVES[before, event]
    except KeyError:
        raise IllegalTransition(vm_state=before.vm, task_state=before.task.wire, event=event) from None
