"""Every action is told as it begins and as it ends, one way or the other."""

import asyncio
from pathlib import Path

import pytest

from novaflow.clock import SystemClock
from novaflow.db.transitions import Transition
from novaflow.models import Server
from novaflow.states import ACTIONS, ENDINGS, RULES, SCHEDULING, Event, Rule, State, Task, Vm, advance, state_of
from services.notifications import Notifications, told_of
from tests.support.cloud import cloud
from tests.support.notifications import listen, until_told


def told(event: Event, before: State | None, after: State) -> list[tuple[str, str]]:
    moved = Transition(server_id="s", task_id="t", event=event, before=before, after=after, host="c1")
    return [(kind.removeprefix("compute.instance."), priority) for kind, priority in told_of(moved)]


ORDERS = [
    rule
    for rule in RULES
    if rule.event in ACTIONS and rule.before.task is Task.IDLE and rule.after.task is not Task.IDLE
]


@pytest.mark.parametrize("rule", ORDERS, ids=lambda rule: f"{rule.event} of {rule.before}")
def test_an_action_that_is_accepted_has_started(rule: Rule) -> None:
    begun = [kind for kind, _ in told(rule.event, rule.before, rule.after)]

    assert begun[-1].endswith(".start")


@pytest.mark.parametrize(
    "rule",
    [r for r in RULES if r.event in ENDINGS and r.event not in ACTIONS],
    ids=lambda r: f"{r.event} of {r.before}",
)
def test_a_task_that_is_over_has_ended_or_failed(rule: Rule) -> None:
    *_, over = told(rule.event, rule.before, rule.after)
    is_failure = rule.event in (Event.FAILED, Event.BROKEN, Event.BUILD_FAILED)

    assert over[0].endswith(".error" if is_failure else ".end")
    assert over[1] == ("error" if is_failure else "info")


def walk(*events: Event, start: State | None = None) -> list[str]:
    said, here = [], start
    for event in events:
        after = SCHEDULING if here is None else advance(here, event)
        said += [kind for kind, _ in told(event, here, after)]
        here = after
    return said


def test_a_build_is_one_thing_from_the_order_to_the_guest() -> None:
    assert walk(
        Event.CREATE_ORDERED,
        Event.BUILD_STARTED,
        Event.NETWORK_WANTED,
        Event.DEVICES_WANTED,
        Event.SPAWN_STARTED,
        Event.SPAWNED,
    ) == ["create.start", "create.end"]


def test_a_build_that_goes_to_another_host_has_failed_on_the_first() -> None:
    assert walk(Event.CREATE_ORDERED, Event.BUILD_STARTED, Event.RESCHEDULED) == ["create.start", "create.error"]


def test_a_resize_is_told_in_novas_three_parts() -> None:
    assert walk(
        Event.RESIZE_ORDERED,
        Event.RESIZE_MIGRATING,
        Event.RESIZE_MIGRATED,
        Event.RESIZE_FINISHING,
        Event.RESIZED,
        Event.REVERT_ORDERED,
        Event.REVERT_CLEARED,
        Event.REVERTED_OFF,
        Event.STOPPED,
        start=state_of("stopped", ""),
    ) == [
        "resize.prep.start",
        "resize.prep.end",
        "resize.start",
        "resize.end",
        "finish_resize.start",
        "finish_resize.end",
        "resize.revert.start",
        "resize.revert.end",
        "power_off.start",
        "power_off.end",
    ]


def test_taking_a_server_off_the_shelf_is_one_thing() -> None:
    off = walk(Event.UNSHELVE_ORDERED, Event.UNSHELVE_POWERING_ON, Event.STARTED, start=state_of("shelved", ""))
    back = walk(
        Event.UNSHELVE_ORDERED, Event.UNSHELVE_SPAWNING, Event.UNSHELVED, start=state_of(Vm.SHELVED_OFFLOADED, "")
    )

    assert off == back == ["unshelve.start", "unshelve.end"]


def test_a_live_migration_that_is_aborted_is_told_as_nova_tells_it() -> None:
    assert walk(
        Event.LIVE_MIGRATION_ORDERED,
        Event.ABORT_WANTED,
        Event.LIVE_MIGRATION_CANCELLED,
        start=state_of("active", ""),
    ) == [
        "live_migration.start",
        "live.migration.abort.start",
        "live_migration._rollback.start",
        "live_migration._rollback.end",
        "live.migration.abort.end",
    ]


def test_a_delete_that_takes_over_ends_what_was_going_on() -> None:
    assert walk(Event.PAUSE_ORDERED, Event.DELETE_ORDERED, Event.DELETED, start=state_of("active", "")) == [
        "pause.start",
        "pause.end",
        "delete.start",
        "delete.end",
    ]


async def test_what_cannot_be_told_is_said_and_the_next_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cloud(tmp_path, services=[]) as world:
        heard, notifications = await listen(world, "info"), Notifications(SystemClock(), "notifications")
        (server,) = await world.boot(settle=False)
        active = state_of("active", "")
        for event in (Event.PAUSE_ORDERED, Event.STOP_ORDERED):
            after = advance(active, event)
            moved = Transition(server_id=event, task_id="t", event=event, before=active, after=after)
            notifications.hear(moved)

        async def find(server_id: str) -> Server:
            if server_id == Event.PAUSE_ORDERED:
                raise ValueError("nobody has foreseen this")
            return server

        teller = asyncio.create_task(notifications.tell(world.bus, find))
        await until_told(world, heard, "compute.instance.power_off.start")
        teller.cancel()

    assert "a notification about server pause_ordered is lost" in caplog.text
