"""What EC2 calls the state a server is in: six words for all that the table of novaflow.states knows.

A server that is on its way between running and not running is what it is becoming. One whose build failed is `terminated`, as Amazon shows
a launch that failed; it is there to be looked at, and counts against the quota, until it is terminated in earnest. One that broke later is
`stopped`. Both say why. Icehouse had words of its own for states that EC2 does not know (`pause`, `suspend`, `rescue`, `resize`).
"""

from datetime import datetime
from enum import Enum
from typing import Final

from novaflow.models import Server
from novaflow.states import Power, Task, Vm


class InstanceState(Enum):
    """A state with the code that EC2 gives it."""

    PENDING = (0, "pending")
    RUNNING = (16, "running")
    SHUTTING_DOWN = (32, "shutting-down")
    TERMINATED = (48, "terminated")
    STOPPING = (64, "stopping")
    STOPPED = (80, "stopped")

    @property
    def code(self) -> int:
        """For programs."""
        return self.value[0]

    @property
    def word(self) -> str:
        """For people."""
        return self.value[1]


_SETTLED: Final = {
    Vm.BUILDING: InstanceState.PENDING,
    Vm.ACTIVE: InstanceState.RUNNING,
    Vm.PAUSED: InstanceState.RUNNING,
    Vm.RESCUED: InstanceState.RUNNING,
    Vm.RESIZED: InstanceState.RUNNING,
    Vm.STOPPED: InstanceState.STOPPED,
    Vm.SUSPENDED: InstanceState.STOPPED,
    Vm.SHELVED: InstanceState.STOPPED,
    Vm.SHELVED_OFFLOADED: InstanceState.STOPPED,
    Vm.SOFT_DELETED: InstanceState.TERMINATED,
    Vm.DELETED: InstanceState.TERMINATED,
}
_ALWAYS: Final = {
    Task.DELETING: InstanceState.SHUTTING_DOWN,
    Task.SOFT_DELETING: InstanceState.SHUTTING_DOWN,
    Task.POWERING_OFF: InstanceState.STOPPING,
    Task.SUSPENDING: InstanceState.STOPPING,
    Task.POWERING_ON: InstanceState.PENDING,
    Task.RESUMING: InstanceState.PENDING,
    Task.UNSHELVING: InstanceState.PENDING,
    Task.RESTORING: InstanceState.PENDING,
}
_ENDS: Final = (Task.DELETING, Task.SOFT_DELETING)
_STOPS_WHAT_RUNS: Final = (Task.SHELVING, Task.SHELVING_IMAGE_PENDING_UPLOAD, Task.SHELVING_IMAGE_UPLOADING)
_STARTS_WHAT_DOES_NOT: Final = (
    Task.REBOOTING_HARD,
    Task.REBOOT_PENDING_HARD,
    Task.REBOOT_STARTED_HARD,
    Task.RESCUING,
    Task.SPAWNING,  # of an unshelved server
)
_REPAIRS: Final = (Task.REBUILDING, Task.REBUILD_BLOCK_DEVICE_MAPPING, Task.REBUILD_SPAWNING)


def state_of(server: Server) -> InstanceState:
    """The state of a server. One that was off when it was resized still is, until somebody starts it."""
    if server.vm is Vm.RESIZED and server.task is not Task.DELETING and server.power is Power.SHUTDOWN:
        return InstanceState.STOPPED
    return state_from(server.vm, server.task, server.launched_at)


def state_from(vm: Vm, task: Task, launched_at: datetime | None) -> InstanceState:
    """The state that these make up."""
    never_was = vm is Vm.ERROR and launched_at is None
    if (never_was or vm is Vm.SOFT_DELETED) and task in _ENDS:  # what is over is not over once more
        return InstanceState.TERMINATED
    if task in _ALWAYS:
        return _ALWAYS[task]
    if vm is Vm.ERROR:
        if task in _REPAIRS or task in _STARTS_WHAT_DOES_NOT:
            return InstanceState.PENDING
        return InstanceState.TERMINATED if never_was else InstanceState.STOPPED
    settled = _SETTLED[vm]
    if settled is InstanceState.RUNNING and task in _STOPS_WHAT_RUNS:
        return InstanceState.STOPPING
    if settled is InstanceState.STOPPED and task in _STARTS_WHAT_DOES_NOT:
        return InstanceState.PENDING
    return settled


def reason_of(server: Server) -> tuple[str, str] | None:
    """Why it is not what its owner wanted, or that he wanted it: a code and a sentence; None of a server that runs."""
    state = state_of(server)
    if server.vm is Vm.ERROR:  # an administrator may have said so, who says no more than that
        said = server.fault.message if server.fault is not None else "The instance is in error."
        return "Server.InternalError", f"Server.InternalError: {said}"
    if state in (InstanceState.STOPPING, InstanceState.STOPPED):
        return "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
    if state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
        return "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
    if state is InstanceState.PENDING:
        return "pending", "pending"
    return None
