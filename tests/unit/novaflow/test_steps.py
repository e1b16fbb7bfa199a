"""A task's history told as Nova's action events."""

from datetime import UTC, datetime, timedelta

from novaflow.models import TaskEvent, TaskRecord
from novaflow.states import Event
from novaflow.steps import Move, steps_of

BEGAN = datetime(2014, 4, 17, tzinfo=UTC)


def task(action: str, message: str | None = None) -> TaskRecord:
    return TaskRecord(
        id="t", server_id="s", action=action, request_id="req-1", user_id="u", project_id="p", state="running",
        created_at=BEGAN, updated_at=BEGAN, message=message,
    )  # fmt: skip


def moves(*events: tuple[Event, str | None]) -> list[Move]:
    return [Move(event=event, host=host, at=after(n)) for n, (event, host) in enumerate(events)]


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
