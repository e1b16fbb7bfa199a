"""The life of a server: every state it can be in and every event that moves it.

This table is the only authority. The database moves a server with one conditional UPDATE per row below, the API
derives its status from it, the docs are drawn from it and the tests enumerate it. To teach novaflow a
new operation, add rows here first. Names and values are Nova's (nova/compute/vm_states.py,
task_states.py, nova/objects/fields.py InstancePowerState, nova/api/openstack/common.py).
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from novaflow.errors import IllegalTransition


class Vm(StrEnum):
    """vm_state: what a server is when nothing is being done to it."""

    BUILDING = "building"
    ACTIVE = "active"
    STOPPED = "stopped"
    ERROR = "error"
    DELETED = "deleted"


class Task(StrEnum):
    """task_state: what is being done to a server. IDLE is Nova's null."""

    IDLE = ""
    SCHEDULING = "scheduling"
    NETWORKING = "networking"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    SPAWNING = "spawning"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    REBOOTING = "rebooting"
    REBOOT_PENDING = "reboot_pending"
    REBOOT_STARTED = "reboot_started"
    REBOOTING_HARD = "rebooting_hard"
    REBOOT_PENDING_HARD = "reboot_pending_hard"
    REBOOT_STARTED_HARD = "reboot_started_hard"
    DELETING = "deleting"

    @property
    def wire(self) -> str | None:
        """As the API shows it: null when nothing is being done."""
        return self.value or None


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
    STOP_ORDERED = "stop_ordered"
    START_ORDERED = "start_ordered"
    REBOOT_ORDERED = "reboot_ordered"
    HARD_REBOOT_ORDERED = "hard_reboot_ordered"
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
    DELETED = "deleted"
    # a task ended without success
    BUILD_FAILED = "build_failed"
    FAILED = "failed"


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


# fmt: off
SCHEDULING          = State(Vm.BUILDING, Task.SCHEDULING,           status="BUILD")
BUILD_ACCEPTED      = State(Vm.BUILDING, Task.IDLE,                 status="BUILD")
NETWORKING          = State(Vm.BUILDING, Task.NETWORKING,           status="BUILD")
MAPPING_DEVICES     = State(Vm.BUILDING, Task.BLOCK_DEVICE_MAPPING, status="BUILD")
SPAWNING            = State(Vm.BUILDING, Task.SPAWNING,             status="BUILD")
BUILDING_DELETING   = State(Vm.BUILDING, Task.DELETING,             status="BUILD")

ACTIVE              = State(Vm.ACTIVE,   Task.IDLE,                 status="ACTIVE")
STOPPING            = State(Vm.ACTIVE,   Task.POWERING_OFF,         status="ACTIVE")
REBOOTING           = State(Vm.ACTIVE,   Task.REBOOTING,            status="REBOOT")
REBOOT_PENDING      = State(Vm.ACTIVE,   Task.REBOOT_PENDING,       status="REBOOT")
REBOOT_STARTED      = State(Vm.ACTIVE,   Task.REBOOT_STARTED,       status="REBOOT")
HARD_REBOOTING      = State(Vm.ACTIVE,   Task.REBOOTING_HARD,       status="HARD_REBOOT")
HARD_REBOOT_PENDING = State(Vm.ACTIVE,   Task.REBOOT_PENDING_HARD,  status="HARD_REBOOT")
HARD_REBOOT_STARTED = State(Vm.ACTIVE,   Task.REBOOT_STARTED_HARD,  status="HARD_REBOOT")
ACTIVE_DELETING     = State(Vm.ACTIVE,   Task.DELETING,             status="ACTIVE")

SHUTOFF             = State(Vm.STOPPED,  Task.IDLE,                 status="SHUTOFF")
STARTING            = State(Vm.STOPPED,  Task.POWERING_ON,          status="SHUTOFF")
OFF_HARD_REBOOTING  = State(Vm.STOPPED,  Task.REBOOTING_HARD,       status="SHUTOFF")
OFF_HARD_PENDING    = State(Vm.STOPPED,  Task.REBOOT_PENDING_HARD,  status="SHUTOFF")
OFF_HARD_STARTED    = State(Vm.STOPPED,  Task.REBOOT_STARTED_HARD,  status="SHUTOFF")
SHUTOFF_DELETING    = State(Vm.STOPPED,  Task.DELETING,             status="SHUTOFF")

ERROR               = State(Vm.ERROR,    Task.IDLE,                 status="ERROR")
ERROR_STOPPING      = State(Vm.ERROR,    Task.POWERING_OFF,         status="ERROR")
ERROR_REBOOTING     = State(Vm.ERROR,    Task.REBOOTING_HARD,       status="ERROR")
ERROR_PENDING       = State(Vm.ERROR,    Task.REBOOT_PENDING_HARD,  status="ERROR")
ERROR_STARTED       = State(Vm.ERROR,    Task.REBOOT_STARTED_HARD,  status="ERROR")
ERROR_DELETING      = State(Vm.ERROR,    Task.DELETING,             status="ERROR")

GONE                = State(Vm.DELETED,  Task.IDLE,                 status="DELETED")

_BUILDING_STATES = (SCHEDULING, BUILD_ACCEPTED, NETWORKING, MAPPING_DEVICES, SPAWNING)
_HARD_REBOOTS = (
    (ACTIVE,  HARD_REBOOTING,     HARD_REBOOT_PENDING, HARD_REBOOT_STARTED),
    (SHUTOFF, OFF_HARD_REBOOTING, OFF_HARD_PENDING,    OFF_HARD_STARTED),
    (ERROR,   ERROR_REBOOTING,    ERROR_PENDING,       ERROR_STARTED),
)
_DELETING_FROM = {
    Vm.BUILDING: BUILDING_DELETING,
    Vm.ACTIVE:   ACTIVE_DELETING,
    Vm.STOPPED:  SHUTOFF_DELETING,
    Vm.ERROR:    ERROR_DELETING,
}
_SETTLED_IN = {Vm.ACTIVE: ACTIVE, Vm.STOPPED: SHUTOFF, Vm.ERROR: ERROR}
STATES: Final = (
    *_BUILDING_STATES, BUILDING_DELETING,
    ACTIVE, STOPPING, REBOOTING, REBOOT_PENDING, REBOOT_STARTED,
    HARD_REBOOTING, HARD_REBOOT_PENDING, HARD_REBOOT_STARTED, ACTIVE_DELETING,
    SHUTOFF, STARTING, OFF_HARD_REBOOTING, OFF_HARD_PENDING, OFF_HARD_STARTED, SHUTOFF_DELETING,
    ERROR, ERROR_STOPPING, ERROR_REBOOTING, ERROR_PENDING, ERROR_STARTED, ERROR_DELETING,
    GONE,
)

RULES: Final = (
    #    when this happens          in this state     it is now
    # create; a build that is taken up again after a crash starts over from wherever it was
    *(Rule(Event.BUILD_STARTED,     before,           BUILD_ACCEPTED) for before in _BUILDING_STATES),
    Rule(Event.NETWORK_WANTED,      BUILD_ACCEPTED,   NETWORKING),
    Rule(Event.DEVICES_WANTED,      NETWORKING,       MAPPING_DEVICES),
    Rule(Event.SPAWN_STARTED,       MAPPING_DEVICES,  SPAWNING),
    Rule(Event.SPAWNED,             SPAWNING,         ACTIVE),
    *(Rule(Event.RESCHEDULED,       before,           SCHEDULING) for before in _BUILDING_STATES),
    *(Rule(Event.BUILD_FAILED,      before,           ERROR) for before in _BUILDING_STATES),
    # stop, start
    Rule(Event.STOP_ORDERED,        ACTIVE,           STOPPING),
    Rule(Event.STOP_ORDERED,        ERROR,            ERROR_STOPPING),
    Rule(Event.STOPPED,             STOPPING,         SHUTOFF),
    Rule(Event.STOPPED,             ERROR_STOPPING,   SHUTOFF),
    Rule(Event.START_ORDERED,       SHUTOFF,          STARTING),
    Rule(Event.STARTED,             STARTING,         ACTIVE),
    # soft reboot
    Rule(Event.REBOOT_ORDERED,      ACTIVE,           REBOOTING),
    *(Rule(Event.REBOOT_PENDING,    before,           REBOOT_PENDING)
      for before in (REBOOTING, REBOOT_PENDING, REBOOT_STARTED)),
    Rule(Event.REBOOT_STARTED,      REBOOT_PENDING,   REBOOT_STARTED),
    Rule(Event.REBOOTED,            REBOOT_STARTED,   ACTIVE),
    # hard reboot; it may take over from a soft one
    *(Rule(Event.HARD_REBOOT_ORDERED, settled,        ordered) for settled, ordered, _, _ in _HARD_REBOOTS),
    *(Rule(Event.HARD_REBOOT_ORDERED, before,         HARD_REBOOTING)
      for before in (REBOOTING, REBOOT_PENDING, REBOOT_STARTED)),
    *(Rule(Event.REBOOT_PENDING,    before,           pending)
      for _, ordered, pending, started in _HARD_REBOOTS for before in (ordered, pending, started)),
    *(Rule(Event.REBOOT_STARTED,    pending,          started) for _, _, pending, started in _HARD_REBOOTS),
    *(Rule(Event.REBOOTED,          started,          ACTIVE) for _, _, _, started in _HARD_REBOOTS),
    # delete takes over from whatever runs
    *(Rule(Event.DELETE_ORDERED,    before,           _DELETING_FROM[before.vm]) for before in STATES if before.vm is not Vm.DELETED),
    *(Rule(Event.DELETED,           before,           GONE) for before in _DELETING_FROM.values()),
    # a failed action leaves the server as it was; a failed delete leaves it in error
    *(Rule(Event.FAILED,            before,           _SETTLED_IN[before.vm])
      for before in STATES
      if before.task not in (Task.IDLE, Task.DELETING) and before.vm is not Vm.BUILDING),
    *(Rule(Event.FAILED,            before,           ERROR) for before in _DELETING_FROM.values()),
)
# fmt: on

BY_NAMES: Final = {(state.vm, state.task): state for state in STATES}
MOVES: Final = {(rule.before, rule.event): rule.after for rule in RULES}


def state_of(vm: str, task: str | None) -> State:
    """The state a row of the database names; raises KeyError for one the table does not know."""
    return BY_NAMES[Vm(vm), Task(task or "")]


def advance(before: State, event: Event) -> State:
    """Where `event` leads from `before`; raises IllegalTransition when the table has no such row."""
    try:
        return MOVES[before, event]
    except KeyError:
        raise IllegalTransition(vm_state=before.vm, task_state=before.task.wire, event=event) from None
