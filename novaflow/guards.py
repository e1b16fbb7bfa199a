"""Whether an action may be ordered of a server now, by whoever asks: pure, from the server as it was read.

The order of the questions is that of Nova's decorators (nova/compute/api.py): the lock, vm_state, task_state, whether it was ever active.
Which states allow which action is read from the table of novaflow.states.
"""

from collections.abc import Collection

from novaflow.errors import Locked, NeverActive, WrongState
from novaflow.models import Context, Server
from novaflow.states import ACTIONS, MOVES, RULES, Event, State, Task, Vm


def check(context: Context, server: Server, action: str, event: Event) -> None:
    """Let an order pass; raises Locked, WrongState, NeverActive. `action` is Nova's name of it, for the refusal."""
    if ACTIONS[event].is_locked_out:
        refuse_locked(context, server)
    refuse_state(server.id, server.state, action, event)
    if ACTIONS[event].needs_launch and server.launched_at is None:
        raise NeverActive(action=action)


def refuse_locked(context: Context, server: Server) -> None:
    """A locked server is its owner's to look at, and administrators' to do something to; raises Locked."""
    if server.is_locked and not context.is_admin:
        raise Locked(server_id=server.id)


def refuse_state(server_id: str, state: State, action: str, event: Event) -> None:
    """Raises WrongState where the table has no row, naming what is in the way: vm_state if that alone forbids it."""
    if (state, event) in MOVES:
        return
    allowed = {rule.before.vm for rule in RULES if rule.event is event}
    raise _wrong_state(server_id, state, action, by_task=state.vm in allowed)


def refuse_unless(server: Server, action: str, vms: Collection[Vm]) -> None:
    """The same for what is done without a task and thus is not in the table: only in these, while nothing else is done."""
    if server.vm not in vms or server.task is not Task.IDLE:
        raise _wrong_state(server.id, server.state, action, by_task=server.vm in vms)


def refuse_while(server: Server, action: str, tasks: Collection[Task]) -> None:
    """The same for what can be had of a server at any time but during these."""
    if server.task in tasks:
        raise _wrong_state(server.id, server.state, action, by_task=True)


def _wrong_state(server_id: str, state: State, action: str, *, by_task: bool) -> WrongState:
    attribute, value = ("task_state", state.task.wire) if by_task else ("vm_state", state.vm.value)
    return WrongState(action=action, server_id=server_id, attribute=attribute, state=str(value))
