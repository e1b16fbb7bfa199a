"""Who may order what of a server: the lock first, then the state, then whether it was ever active; for every state and order."""

from datetime import UTC, datetime

import pytest

from novaflow import guards
from novaflow.errors import Locked, NeverActive, WrongState
from novaflow.models import Context, Server
from novaflow.states import ACTIONS, MOVES, RULES, STATES, Event, State, Task, Vm
from tests.support.plain_server import plain_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = Context(request_id="r", user_id="u", project_id="p")
ADMIN = Context(request_id="r", user_id="a", project_id="q", roles=("admin",))


def server(state: State, **facts: object) -> Server:
    return plain_server(NOW, id="s", project_id="p", user_id="u", vm=state.vm, task=state.task, **facts)


@pytest.mark.parametrize("event", list(ACTIONS), ids=str)
def test_an_order_passes_where_the_table_has_a_row(event: Event) -> None:
    allowed = {rule.before.vm for rule in RULES if rule.event is event}
    for state in STATES:
        if (state, event) in MOVES:
            guards.check(OWNER, server(state), "act", event)
            continue
        with pytest.raises(WrongState) as refused:
            guards.check(OWNER, server(state), "act", event)
        is_by_task = state.vm in allowed
        assert refused.value.attribute == ("task_state" if is_by_task else "vm_state")
        assert refused.value.state == (str(state.task.wire) if is_by_task else state.vm)


@pytest.mark.parametrize("event", list(ACTIONS), ids=str)
def test_a_lock_is_asked_for_before_anything_else(event: Event) -> None:
    for state in STATES:
        locked = server(state, is_locked=True, launched_at=None)
        if ACTIONS[event].is_locked_out:
            with pytest.raises(Locked):
                guards.check(OWNER, locked, "act", event)
        elif (state, event) in MOVES and not ACTIONS[event].needs_launch:
            guards.check(OWNER, locked, "act", event)
        if (state, event) in MOVES and not ACTIONS[event].needs_launch:
            guards.check(ADMIN, locked, "act", event)


@pytest.mark.parametrize("event", [event for event, action in ACTIONS.items() if action.needs_launch], ids=str)
def test_what_was_never_active_is_refused_last(event: Event) -> None:
    state = next(state for state in STATES if (state, event) in MOVES)

    with pytest.raises(NeverActive, match="Cannot 'act' an instance which has never been active"):
        guards.check(OWNER, server(state, launched_at=None), "act", event)


def test_what_needs_no_task_is_refused_in_the_same_words() -> None:
    resting, busy = server(State(Vm.PAUSED, Task.IDLE, "")), server(State(Vm.PAUSED, Task.UNPAUSING, ""))

    guards.refuse_unless(resting, "look", [Vm.PAUSED])
    guards.refuse_while(resting, "look", [Task.DELETING])
    with pytest.raises(WrongState, match="Cannot 'look' instance s while it is in task_state unpausing"):
        guards.refuse_unless(busy, "look", [Vm.PAUSED])
    with pytest.raises(WrongState, match="Cannot 'look' instance s while it is in task_state unpausing"):
        guards.refuse_while(busy, "look", [Task.UNPAUSING])
    with pytest.raises(WrongState, match="Cannot 'look' instance s while it is in vm_state paused"):
        guards.refuse_unless(busy, "look", [Vm.ACTIVE])
