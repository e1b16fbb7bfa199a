"""A task's history told as Nova's action events."""

from datetime import UTC, datetime, timedelta

import pytest

from novaflow.states import ENDINGS, Event
from novaflow.steps import Move, steps_of
from novaflow.tasks import TaskEvent, TaskRecord

BEGAN = datetime(2014, 4, 17, tzinfo=UTC)


def task(action: str, message: str | None = None) -> TaskRecord:
    return TaskRecord(
        id="t", server_id="s", action=action, request_id="req-1", user_id="u", project_id="p", state="running",
        created_at=BEGAN, updated_at=BEGAN, message=message,
    )  # fmt: skip


def moves(*events: tuple[Event, str | None]) -> list[Move]:
    return [Move(event=event, host=host, at=after(n)) for n, (event, host) in enumerate(events)]


def told(steps: list[TaskEvent]) -> list[tuple[str, str | None, str | None]]:
    return [(step.name, step.host, step.result) for step in steps]


def after(seconds: int) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def test_a_build_is_one_step_from_the_host_taking_it_up_to_the_guest_running() -> None:
    history = moves((Event.BUILD_STARTED, "c1"), (Event.NETWORK_WANTED, "c1"), (Event.SPAWNED, "c1"))

    assert steps_of(task("create"), history) == [
        TaskEvent(
            name="compute__do_build_and_run_instance",
            host="c1",
            result="Success",
            started_at=after(0),
            finished_at=after(2),
        )
    ]


def test_a_retried_build_is_a_failed_step_and_one_that_runs() -> None:
    history = moves((Event.BUILD_STARTED, "c1"), (Event.RESCHEDULED, "c1"), (Event.BUILD_STARTED, "c2"))

    steps = steps_of(task("create"), history)

    assert [(step.host, step.result, step.finished_at) for step in steps] == [
        ("c1", "Error", after(1)),
        ("c2", None, None),
    ]


def test_what_happened_without_a_host_is_no_step() -> None:
    assert steps_of(task("create", "No valid host was found."), moves((Event.BUILD_FAILED, None))) == []


def test_a_failed_action_tells_why() -> None:
    (step,) = steps_of(task("reboot", "it is broken"), moves((Event.REBOOT_ORDERED, "c1"), (Event.FAILED, "c1")))

    assert (step.name, step.result, step.details) == ("compute_reboot_instance", "Error", "it is broken")


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("pause", "compute_pause_instance"),
        ("changePassword", "compute_set_admin_password"),
        ("createImage", "compute_snapshot_instance"),
        ("createBackup", "compute_backup_instance"),
        ("rebuild", "compute_rebuild_instance"),
        ("unshelve", "compute_unshelve_instance"),
        ("live-migration", "compute_live_migration"),
    ],
)
def test_a_step_is_called_as_nova_calls_its_method(action: str, name: str) -> None:
    (step,) = steps_of(task(action), moves((Event.FAILED, "c1")))

    assert step.name == name


def test_every_event_that_ends_a_task_ends_its_step() -> None:
    for event in ENDINGS:
        (step,) = steps_of(task("any"), moves((event, "c1")))
        assert step.result in ("Success", "Error"), event


def test_a_soft_delete_is_a_step_of_its_own_name() -> None:
    history = moves((Event.SOFT_DELETE_ORDERED, "c1"), (Event.SOFT_DELETED, "c1"))

    assert told(steps_of(task("delete"), history)) == [("compute_soft_delete_instance", "c1", "Success")]


def test_a_shelving_that_goes_on_to_offload_is_two_steps() -> None:
    history = moves((Event.SHELVE_ORDERED, "c1"), (Event.SHELVED_FOR_OFFLOAD, "c1"), (Event.OFFLOADED, "c1"))

    assert told(steps_of(task("shelve"), history)) == [
        ("compute_shelve_instance", "c1", "Success"),
        ("compute_shelve_offload_instance", "c1", "Success"),
    ]


def test_a_rebuild_that_switches_off_again_is_one_step() -> None:
    history = moves((Event.REBUILD_ORDERED, "c1"), (Event.REBUILT_OFF, "c1"), (Event.STOPPED, "c1"))

    assert told(steps_of(task("rebuild"), history)) == [("compute_rebuild_instance", "c1", "Success")]


def test_a_resize_is_a_step_on_each_host() -> None:
    history = moves(
        (Event.RESIZE_ORDERED, "c1"),
        (Event.RESIZE_MIGRATING, "c1"),
        (Event.RESIZE_MIGRATED, "c1"),
        (Event.RESIZE_FINISHING, "c2"),
        (Event.RESIZED, "c2"),
    )

    assert told(steps_of(task("resize"), history)) == [
        ("compute_resize_instance", "c1", "Success"),
        ("compute_finish_resize", "c2", "Success"),
    ]


def test_a_resize_that_is_rolled_back_failed_where_it_should_have_ended() -> None:
    history = moves(
        (Event.RESIZE_ORDERED, "c1"),
        (Event.RESIZE_MIGRATING, "c1"),
        (Event.RESIZE_MIGRATED, "c1"),
        (Event.RESIZE_FINISHING, "c2"),
        (Event.RESIZE_ROLLED_BACK, None),
        (Event.FAILED, "c1"),
    )

    assert told(steps_of(task("resize", "no room"), history)) == [
        ("compute_resize_instance", "c1", "Success"),
        ("compute_finish_resize", "c2", "Error"),
        ("compute_resize_instance", "c1", "Error"),
    ]


def test_a_revert_is_a_step_on_each_host() -> None:
    history = moves(
        (Event.REVERT_ORDERED, "c2"), (Event.REVERT_CLEARED, "c2"), (Event.REVERTED_OFF, "c1"), (Event.STOPPED, "c1")
    )

    assert told(steps_of(task("revertResize"), history)) == [
        ("compute_revert_resize", "c2", "Success"),
        ("compute_finish_revert_resize", "c1", "Success"),
    ]


def test_what_recovery_ends_ends_the_step_that_ran() -> None:
    (step,) = steps_of(task("pause", "given up"), moves((Event.PAUSE_ORDERED, "c1"), (Event.FAILED, None)))

    assert (step.host, step.result, step.details) == ("c1", "Error", "given up")


def test_a_resize_that_its_source_confirms_is_one_step_there() -> None:
    history = moves((Event.CONFIRM_ORDERED, "dest"), (Event.CONFIRMED, "source"))

    assert told(steps_of(task("confirmResize"), history)) == [("compute_confirm_resize", "source", "Success")]
