"""What EC2 calls the state a server is in: six words for all that the table of novaflow.states knows.

A server that is busy is what it is becoming, where EC2 has a word for that. One whose build failed is `terminated`, as Amazon shows a launch
that failed; it is there to be looked at, and counts against the quota, until it is terminated in earnest. One that broke later is
`stopped`. Both say why. Icehouse had words of its own for states that EC2 does not know (`pause`, `suspend`, `rescue`, `resize`).
"""

from datetime import datetime
from enum import Enum
from typing import Final

from novaflow.models import Server
from novaflow.states import Task, Vm


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
_BUSY: Final = {
    Task.DELETING: InstanceState.SHUTTING_DOWN,
    Task.SOFT_DELETING: InstanceState.SHUTTING_DOWN,
    Task.POWERING_OFF: InstanceState.STOPPING,
    Task.SUSPENDING: InstanceState.STOPPING,
    Task.POWERING_ON: InstanceState.PENDING,
    Task.RESUMING: InstanceState.PENDING,
    Task.UNSHELVING: InstanceState.PENDING,
    Task.RESTORING: InstanceState.PENDING,
}
_SPAWNING_AGAIN: Final = Task.SPAWNING  # of an unshelved server, whose vm_state says where it came from


def state_of(server: Server) -> InstanceState:
    """The state of a server."""
    return state_from(server.vm, server.task, server.launched_at)


def state_from(vm: Vm, task: Task, launched_at: datetime | None) -> InstanceState:
    """The state that these make up."""
    if task in _BUSY:
        return _BUSY[task]
    if vm is Vm.SHELVED_OFFLOADED and task is _SPAWNING_AGAIN:
        return InstanceState.PENDING
    if vm is Vm.ERROR:
        return InstanceState.TERMINATED if launched_at is None else InstanceState.STOPPED
    return _SETTLED[vm]


def reason_of(server: Server) -> tuple[str, str] | None:
    """Why it is not what its owner wanted, or that he wanted it: a code and a sentence; None of a server that runs."""
    state = state_of(server)
    if server.fault is not None and server.vm is Vm.ERROR:
        return "Server.InternalError", f"Server.InternalError: {server.fault.message}"
    if state in (InstanceState.STOPPING, InstanceState.STOPPED):
        return "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
    if state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
        return "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
    if state is InstanceState.PENDING:
        return "pending", "pending"
    return None
