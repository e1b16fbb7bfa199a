"""Every state of the table has a word of EC2's."""

from datetime import UTC, datetime

import pytest

from novaflow.states import STATES, State, Vm
from services.api.ec2.instance_states import InstanceState, state_from

LAUNCHED = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = {
    "active/none": "running",
    "active/powering-off": "stopping",
    "active/rebooting": "running",
    "active/deleting": "shutting-down",
    "building/scheduling": "pending",
    "deleted/none": "terminated",
    "paused/none": "running",
    "shelved_offloaded/none": "stopped",
    "shelved_offloaded/spawning": "pending",
    "soft-delete/none": "terminated",
    "stopped/none": "stopped",
    "stopped/powering-on": "pending",
    "suspended/resuming": "pending",
}


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_state_has_a_word(state: State) -> None:
    found = state_from(state.vm, state.task, LAUNCHED)

    assert found.word == WORDS.get(str(state), found.word)
    assert found in InstanceState


def test_every_expected_word_was_asked_for() -> None:
    assert WORDS.keys() <= {str(state) for state in STATES}


def test_one_that_was_never_launched_has_ended_and_one_that_was_has_stopped() -> None:
    (error,) = (state for state in STATES if state.vm is Vm.ERROR and not state.task)

    assert state_from(error.vm, error.task, None) is InstanceState.TERMINATED
    assert state_from(error.vm, error.task, LAUNCHED) is InstanceState.STOPPED
