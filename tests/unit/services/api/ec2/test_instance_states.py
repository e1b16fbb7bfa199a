"""Every state of the table has the word of EC2's that says what the server is, or where the table takes it."""

from datetime import UTC, datetime
from typing import Final

import pytest

from novaflow.states import ACTIONS, MOVES, STATES, Event, State, Task, Vm
from services.api.ec2.instance_states import InstanceState, state_from

LAUNCHED: Final = datetime(2026, 1, 1, tzinfo=UTC)
FAILURES: Final = (Event.FAILED, Event.BROKEN, Event.BUILD_FAILED)
RUNNING, STOPPED, TERMINATED = InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.TERMINATED
BECOMING: Final = {
    RUNNING: InstanceState.PENDING,
    STOPPED: InstanceState.STOPPING,
    TERMINATED: InstanceState.SHUTTING_DOWN,
}
MEANS: Final = {
    "BUILD": set(),
    "ACTIVE": {RUNNING},
    "PAUSED": {RUNNING},
    "RESCUE": {RUNNING},
    "VERIFY_RESIZE": {RUNNING, STOPPED},  # as it was before
    "SHUTOFF": {STOPPED},
    "SUSPENDED": {STOPPED},
    "SHELVED": {STOPPED},
    "SHELVED_OFFLOADED": {STOPPED},
    "SOFT_DELETED": {TERMINATED},
    "DELETED": {TERMINATED},
    "ERROR": set(),  # it is not what its owner wanted it to be, whatever that is
}
"""By the status that the Compute API shows of a server at rest, what that is in EC2's words."""
BUSY_STATUSES: Final = {"REBOOT", "HARD_REBOOT", "REBUILD", "RESIZE", "MIGRATING", "PASSWORD", "REVERT_RESIZE"}
AT_REST: Final = [state for state in STATES if not state.task and state.vm not in (Vm.BUILDING, Vm.ERROR)]
BUSY: Final = [state for state in STATES if state.task and state.vm is not Vm.BUILDING]
BUILDING: Final = [state for state in STATES if state.vm is Vm.BUILDING]


def settled(vm: Vm) -> State:
    """The state of a server at rest."""
    (found,) = (state for state in STATES if state.vm is vm and not state.task)
    return found


def ends(busy: State) -> set[State]:
    """Where the table takes a busy server that nobody orders anything else of, if all goes well."""
    seen: set[State] = set()
    ahead, found = {busy}, set()
    while ahead:
        here = ahead.pop()
        seen.add(here)
        if here.task is Task.IDLE:
            found.add(here)
            continue
        ahead |= {
            after
            for (before, event), after in MOVES.items()
            if before == here and event not in ACTIONS and event not in FAILURES
        } - seen
    return found


def word(state: State, launched_at: datetime | None = LAUNCHED) -> InstanceState:
    return state_from(state.vm, state.task, launched_at)


def test_every_state_is_at_rest_busy_being_built_or_broken() -> None:
    assert {*AT_REST, *BUSY, *BUILDING, settled(Vm.ERROR)} == set(STATES)
    assert {state.status for state in STATES} == MEANS.keys() | BUSY_STATUSES


@pytest.mark.parametrize("state", AT_REST, ids=str)
def test_a_server_at_rest_is_what_its_status_says(state: State) -> None:
    assert word(state) in MEANS[state.status]


@pytest.mark.parametrize("state", BUSY, ids=str)
def test_a_busy_server_is_what_it_stays_or_what_it_becomes(state: State) -> None:
    now = MEANS[settled(state.vm).status]
    then = set().union(*(MEANS[end.status] for end in ends(state)))

    if now & then:
        assert word(state) in now
    else:
        assert {word(state)} == {BECOMING[one] for one in then}


@pytest.mark.parametrize("state", BUILDING, ids=str)
def test_a_server_that_is_built_is_pending_unless_it_is_deleted(state: State) -> None:
    expected = InstanceState.SHUTTING_DOWN if state.task is Task.DELETING else InstanceState.PENDING

    assert word(state, None) is expected


def test_one_that_was_never_launched_has_ended_and_one_that_was_has_stopped() -> None:
    assert word(settled(Vm.ERROR), None) is InstanceState.TERMINATED
    assert word(settled(Vm.ERROR), LAUNCHED) is InstanceState.STOPPED


def test_what_has_ended_does_not_end_once_more() -> None:
    assert state_from(Vm.ERROR, Task.DELETING, None) is InstanceState.TERMINATED
    assert state_from(Vm.ERROR, Task.DELETING, LAUNCHED) is InstanceState.SHUTTING_DOWN
    assert state_from(Vm.SOFT_DELETED, Task.DELETING, LAUNCHED) is InstanceState.TERMINATED


def test_codes_are_amazons() -> None:
    assert {one.word: one.code for one in InstanceState} == {
        "pending": 0,
        "running": 16,
        "shutting-down": 32,
        "terminated": 48,
        "stopping": 64,
        "stopped": 80,
    }
