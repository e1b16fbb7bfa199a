"""The state table, completely: every state with every event."""

import pytest

from novaflow.errors import IllegalTransition
from novaflow.states import (
    ACTIONS,
    BY_NAMES,
    ENDINGS,
    MOVES,
    RULES,
    SCHEDULING,
    STATES,
    Event,
    Rule,
    State,
    Task,
    Vm,
    advance,
    state_of,
)

EVERY_CASE = [(state, event) for state in STATES for event in Event]
ORDERS = {Event.CREATE_ORDERED, *ACTIONS}


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
        assert state_of(state.vm.value, state.task.value) is state
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
    (Vm.ACTIVE, Task.UPDATING_PASSWORD): "PASSWORD",
    (Vm.ACTIVE, Task.REBUILDING): "REBUILD",
    (Vm.ACTIVE, Task.REBUILD_BLOCK_DEVICE_MAPPING): "REBUILD",
    (Vm.ACTIVE, Task.REBUILD_SPAWNING): "REBUILD",
    (Vm.ACTIVE, Task.MIGRATING): "MIGRATING",
    (Vm.ACTIVE, Task.RESIZE_PREP): "RESIZE",
    (Vm.ACTIVE, Task.RESIZE_MIGRATING): "RESIZE",
    (Vm.ACTIVE, Task.RESIZE_MIGRATED): "RESIZE",
    (Vm.ACTIVE, Task.RESIZE_FINISH): "RESIZE",
    (Vm.STOPPED, Task.RESIZE_PREP): "RESIZE",
    (Vm.STOPPED, Task.RESIZE_MIGRATING): "RESIZE",
    (Vm.STOPPED, Task.RESIZE_MIGRATED): "RESIZE",
    (Vm.STOPPED, Task.RESIZE_FINISH): "RESIZE",
    (Vm.STOPPED, Task.REBUILDING): "REBUILD",
    (Vm.STOPPED, Task.REBUILD_BLOCK_DEVICE_MAPPING): "REBUILD",
    (Vm.STOPPED, Task.REBUILD_SPAWNING): "REBUILD",
    (Vm.ERROR, Task.REBUILDING): "REBUILD",
    (Vm.ERROR, Task.REBUILD_BLOCK_DEVICE_MAPPING): "REBUILD",
    (Vm.ERROR, Task.REBUILD_SPAWNING): "REBUILD",
    (Vm.PAUSED, Task.MIGRATING): "MIGRATING",
    (Vm.RESIZED, Task.RESIZE_REVERTING): "REVERT_RESIZE",
}
DEFAULTS = {
    Vm.BUILDING: "BUILD",
    Vm.ACTIVE: "ACTIVE",
    Vm.PAUSED: "PAUSED",
    Vm.SUSPENDED: "SUSPENDED",
    Vm.STOPPED: "SHUTOFF",
    Vm.RESCUED: "RESCUE",
    Vm.RESIZED: "VERIFY_RESIZE",
    Vm.SOFT_DELETED: "SOFT_DELETED",
    Vm.DELETED: "DELETED",
    Vm.ERROR: "ERROR",
    Vm.SHELVED: "SHELVED",
    Vm.SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
}


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_state_shows_as_nova_shows_it(state: State) -> None:
    assert state.status == STATUSES.get((state.vm, state.task), DEFAULTS[state.vm])


def idle(*vms: Vm) -> set[tuple[Vm, Task]]:
    return {(vm, Task.IDLE) for vm in vms}


# nova/compute/api.py: the states from which each action is allowed
GUARDS = {
    Event.START_ORDERED: idle(Vm.STOPPED),
    Event.FORCE_STOP_ORDERED: idle(Vm.ACTIVE, Vm.PAUSED),
    Event.STOP_ORDERED: idle(Vm.ACTIVE, Vm.ERROR),
    Event.REBOOT_ORDERED: idle(Vm.ACTIVE),
    Event.HARD_REBOOT_ORDERED: {
        *idle(Vm.ACTIVE, Vm.STOPPED, Vm.PAUSED, Vm.SUSPENDED, Vm.ERROR),
        (Vm.ACTIVE, Task.REBOOTING),
        (Vm.ACTIVE, Task.REBOOT_PENDING),
        (Vm.ACTIVE, Task.REBOOT_STARTED),
        (Vm.ACTIVE, Task.PAUSING),
        (Vm.ACTIVE, Task.SUSPENDING),
        (Vm.PAUSED, Task.UNPAUSING),
        (Vm.SUSPENDED, Task.RESUMING),
    },
    Event.PAUSE_ORDERED: idle(Vm.ACTIVE),
    Event.UNPAUSE_ORDERED: idle(Vm.PAUSED),
    Event.SUSPEND_ORDERED: idle(Vm.ACTIVE),
    Event.RESUME_ORDERED: idle(Vm.SUSPENDED),
    Event.RESCUE_ORDERED: idle(Vm.ACTIVE, Vm.STOPPED, Vm.ERROR),
    Event.UNRESCUE_ORDERED: idle(Vm.RESCUED),
    Event.PASSWORD_ORDERED: idle(Vm.ACTIVE),
    Event.REBUILD_ORDERED: idle(Vm.ACTIVE, Vm.STOPPED, Vm.ERROR),
    Event.EVACUATE_ORDERED: idle(Vm.ACTIVE, Vm.STOPPED, Vm.ERROR),
    Event.RESIZE_ORDERED: idle(Vm.ACTIVE, Vm.STOPPED),
    Event.CONFIRM_ORDERED: idle(Vm.RESIZED),
    Event.REVERT_ORDERED: idle(Vm.RESIZED),
    Event.LIVE_MIGRATION_ORDERED: idle(Vm.ACTIVE, Vm.PAUSED),
    Event.SNAPSHOT_ORDERED: idle(Vm.ACTIVE, Vm.STOPPED, Vm.PAUSED, Vm.SUSPENDED),
    Event.BACKUP_ORDERED: idle(Vm.ACTIVE, Vm.STOPPED, Vm.PAUSED, Vm.SUSPENDED),
    Event.SHELVE_ORDERED: idle(Vm.ACTIVE, Vm.STOPPED, Vm.PAUSED, Vm.SUSPENDED),
    Event.OFFLOAD_ORDERED: idle(Vm.SHELVED),
    Event.UNSHELVE_ORDERED: idle(Vm.SHELVED, Vm.SHELVED_OFFLOADED),
    Event.RESTORE_ORDERED: idle(Vm.SOFT_DELETED),
    Event.SOFT_DELETE_ORDERED: idle(Vm.ACTIVE, Vm.PAUSED, Vm.SUSPENDED, Vm.STOPPED, Vm.RESCUED, Vm.ERROR, Vm.SHELVED),
}


def test_every_action_but_those_of_any_state_has_its_guard_here() -> None:
    anywhere = {Event.DELETE_ORDERED, Event.RESET_TO_ACTIVE, Event.RESET_TO_ERROR}

    assert set(ACTIONS) == set(GUARDS) | anywhere


@pytest.mark.parametrize("event", [Event.RESET_TO_ACTIVE, Event.RESET_TO_ERROR], ids=str)
def test_an_administrator_may_say_of_whatever_is_not_deleted_what_it_is(event: Event) -> None:
    assert {rule.before for rule in RULES if rule.event is event} == {s for s in STATES if s.vm is not Vm.DELETED}
    assert {rule.after.task for rule in RULES if rule.event is event} == {Task.IDLE}


@pytest.mark.parametrize("event", sorted(ENDINGS), ids=str)
def test_an_event_that_ends_a_task_ends_it_wherever_it_happens(event: Event) -> None:
    assert {rule.after.task for rule in RULES if rule.event is event} == {Task.IDLE}


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
    if (state, Event.BROKEN) in MOVES:
        assert (state, Event.FAILED) in MOVES
        assert str(advance(state, Event.BROKEN)) == "error/none"
