"""The state table, completely: every state with every event."""

import pytest

from novaflow.errors import IllegalTransition
from novaflow.states import BY_NAMES, MOVES, RULES, SCHEDULING, STATES, Event, Rule, State, Task, Vm, advance, state_of

EVERY_CASE = [(state, event) for state in STATES for event in Event]
ORDERS = {event for event in Event if event.endswith("_ordered")}


@pytest.mark.parametrize(("state", "event"), EVERY_CASE, ids=str)
def test_an_event_moves_a_server_by_the_table_or_not_at_all(state: State, event: Event) -> None:
    rules = [rule.after for rule in RULES if (rule.before, rule.event) == (state, event)]

    if rules:
        assert [advance(state, event)] == rules
    else:
        with pytest.raises(IllegalTransition) as refused:
            advance(state, event)
        assert refused.value.facts() == {"vm_state": state.vm, "task_state": state.task.wire, "event": event}


def test_no_rule_is_written_twice() -> None:
    assert len(MOVES) == len(RULES)


def test_every_state_has_names_of_its_own_and_is_found_by_them() -> None:
    assert len(BY_NAMES) == len(STATES)
    for state in STATES:
        assert state_of(state.vm.value, state.task.wire) is state
    with pytest.raises(KeyError):
        state_of("deleted", "spawning")


def test_every_event_but_the_first_has_a_rule() -> None:
    assert {rule.event for rule in RULES} == set(Event) - {Event.CREATE_ORDERED}


def reached(starts: set[State], rules: tuple[Rule, ...] = RULES) -> set[State]:
    found = set(starts)
    while more := {rule.after for rule in rules if rule.before in found} - found:
        found |= more
    return found


def test_a_new_server_can_get_into_every_state() -> None:
    assert reached({SCHEDULING}) == set(STATES)


@pytest.mark.parametrize("state", [state for state in STATES if state.task is not Task.IDLE], ids=str)
def test_no_task_is_a_trap(state: State) -> None:
    """Reports alone, without anybody ordering anything, lead out of it."""
    reports = tuple(rule for rule in RULES if rule.event not in ORDERS)

    assert any(after.task is Task.IDLE for after in reached({state}, reports))


@pytest.mark.parametrize("state", [state for state in STATES if state.vm is not Vm.DELETED], ids=str)
def test_whatever_is_not_deleted_can_be_deleted(state: State) -> None:
    deleting = advance(state, Event.DELETE_ORDERED)

    assert (deleting.vm, deleting.task) == (state.vm, Task.DELETING)
    assert advance(deleting, Event.DELETED).vm is Vm.DELETED


def test_what_is_deleted_stays_so() -> None:
    assert {rule for rule in RULES if rule.before.vm is Vm.DELETED} == set()


# nova/api/openstack/common.py, _STATE_MAP
STATUSES = {
    (Vm.ACTIVE, Task.REBOOTING): "REBOOT",
    (Vm.ACTIVE, Task.REBOOT_PENDING): "REBOOT",
    (Vm.ACTIVE, Task.REBOOT_STARTED): "REBOOT",
    (Vm.ACTIVE, Task.REBOOTING_HARD): "HARD_REBOOT",
    (Vm.ACTIVE, Task.REBOOT_PENDING_HARD): "HARD_REBOOT",
    (Vm.ACTIVE, Task.REBOOT_STARTED_HARD): "HARD_REBOOT",
}
DEFAULTS = {
    Vm.BUILDING: "BUILD",
    Vm.ACTIVE: "ACTIVE",
    Vm.STOPPED: "SHUTOFF",
    Vm.ERROR: "ERROR",
    Vm.DELETED: "DELETED",
}


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_state_shows_as_nova_shows_it(state: State) -> None:
    assert state.status == STATUSES.get((state.vm, state.task), DEFAULTS[state.vm])


# nova/compute/api.py: the states from which each action is allowed
GUARDS = {
    Event.START_ORDERED: {(Vm.STOPPED, Task.IDLE)},
    Event.STOP_ORDERED: {(Vm.ACTIVE, Task.IDLE), (Vm.ERROR, Task.IDLE)},
    Event.REBOOT_ORDERED: {(Vm.ACTIVE, Task.IDLE)},
    Event.HARD_REBOOT_ORDERED: {
        (Vm.ACTIVE, Task.IDLE),
        (Vm.ACTIVE, Task.REBOOTING),
        (Vm.ACTIVE, Task.REBOOT_PENDING),
        (Vm.ACTIVE, Task.REBOOT_STARTED),
        (Vm.STOPPED, Task.IDLE),
        (Vm.ERROR, Task.IDLE),
    },
}


@pytest.mark.parametrize("event", GUARDS, ids=str)
def test_actions_are_allowed_where_nova_allows_them(event: Event) -> None:
    assert {(rule.before.vm, rule.before.task) for rule in RULES if rule.event is event} == GUARDS[event]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_failed_build_ends_in_error_and_a_failed_action_where_it_began(state: State) -> None:
    if (state, Event.BUILD_FAILED) in MOVES:
        assert state.vm is Vm.BUILDING
        assert str(advance(state, Event.BUILD_FAILED)) == "error/none"
    if (state, Event.FAILED) in MOVES:
        expected = Vm.ERROR if state.task is Task.DELETING else state.vm
        assert advance(state, Event.FAILED) == state_of(expected, "")
