"""Every unfinished task has an order that goes on with it, whatever state it was left in."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from novaflow.messages import (
    CONFIRM_RESIZE,
    FINISH_REVERT_RESIZE,
    LIVE_MIGRATION,
    MOVE_SERVER,
    REBUILD_INSTANCE,
    RESIZE_INSTANCE,
    REVERT_RESIZE,
    ROLL_BACK_RESIZE,
    SHELVE_OFFLOAD_INSTANCE,
    SNAPSHOT_INSTANCE,
    STOP_INSTANCE,
    UNSHELVE_INSTANCE,
)
from novaflow.models import Flavor, Server
from novaflow.states import ACTIONS, MOVES, RULES, State, Task, Vm, advance, state_of
from novaflow.tasks import Migration
from services.reordering import ROLLED_BACK, order_of
from tests.support.plain_server import plain_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = Flavor(id="1", name="m1.small", vcpus=1, ram_mb=512, disk_gb=1)
LARGE = Flavor(id="2", name="m1.large", vcpus=4, ram_mb=4096, disk_gb=10)


def server(state: State, **changes: Any) -> Server:
    facts: dict[str, Any] = {"vm": state.vm, "task": state.task, "host": "source", "flavor": SMALL} | changes
    return plain_server(NOW, **facts)


def move(**changes: Any) -> Migration:
    facts: dict[str, Any] = {
        "type": "resize",
        "status": "migrating",
        "dest_host": "dest",
        "claim_host": "dest",
    } | changes
    return Migration(
        id=1,
        uuid="u",
        server_id="s",
        task_id="t",
        source_host="source",
        old_flavor=SMALL,
        new_flavor=LARGE,
        old_vm=Vm.ACTIVE,
        project_id="project",
        user_id="user",
        created_at=NOW,
        updated_at=NOW,
        **facts,
    )


def walks() -> list[tuple[str, State]]:
    """Every action with every state its task can be in."""
    found: set[tuple[str, State]] = set()
    for event, action in ACTIONS.items():
        reached = {rule.after for rule in RULES if rule.event is event and rule.after.task is not Task.IDLE}
        while (
            more := {
                after
                for (before, happened), after in MOVES.items()
                if before in reached and happened not in ACTIONS and after.task is not Task.IDLE
            }
            - reached
        ):
            reached |= more
        found |= {(action.name, state) for state in reached}
    return sorted(found, key=str)


@pytest.mark.parametrize(("action", "state"), walks(), ids=str)
def test_every_task_in_every_state_has_an_order_that_goes_on_with_it(action: str, state: State) -> None:
    kind = {"live-migration": "live-migration", "evacuate": "evacuation"}.get(action, "resize")

    found = order_of(server(state), action, move(type=kind))

    if state.task is Task.UPDATING_PASSWORD:
        assert found is None
    else:
        assert found is not None
        assert (found.host is None) == (found.topic == "scheduler")


def of(vm: Vm, task: Task) -> State:
    return state_of(vm, task.value)


def test_a_resize_goes_on_where_its_disk_is() -> None:
    begun = server(of(Vm.ACTIVE, Task.RESIZE_PREP))
    migrating = server(of(Vm.ACTIVE, Task.RESIZE_MIGRATING))
    handed_over = server(of(Vm.ACTIVE, Task.RESIZE_FINISH), host="dest", flavor=LARGE)

    assert order_of(begun, "resize", move()) == MOVE_SERVER
    assert order_of(migrating, "resize", move()) == RESIZE_INSTANCE.at("source")
    assert order_of(migrating, "resize", move(status=ROLLED_BACK)) == ROLL_BACK_RESIZE.at("source")
    assert order_of(handed_over, "resize", move(claim_host="source")) == RESIZE_INSTANCE.at("source")


@pytest.mark.parametrize("dest", ["dest", "source"])
def test_a_revert_goes_on_at_the_source_once_the_destination_is_cleared(dest: str) -> None:
    reverting = of(Vm.RESIZED, Task.RESIZE_REVERTING)
    resized = move(status="finished", dest_host=dest, claim_host="source")

    assert order_of(server(reverting, host=dest, flavor=LARGE), "revertResize", resized) == REVERT_RESIZE.at(dest)
    assert order_of(server(reverting), "revertResize", resized) == FINISH_REVERT_RESIZE.at("source")
    assert advance(reverting, next(e for (s, e) in MOVES if s == reverting and e == "reverted_off")).task
    assert order_of(server(of(Vm.ACTIVE, Task.POWERING_OFF)), "revertResize", None) == STOP_INSTANCE.at("source")


def test_a_confirm_goes_to_whoever_must_clear_away() -> None:
    confirming = server(of(Vm.RESIZED, Task.RESIZE_CONFIRMING), host="dest", flavor=LARGE)

    assert order_of(confirming, "confirmResize", move(claim_host="source")) == CONFIRM_RESIZE.at("source")


def test_a_live_migration_without_a_destination_is_the_schedulers() -> None:
    migrating = server(of(Vm.ACTIVE, Task.MIGRATING))

    assert order_of(migrating, "live-migration", move(type="live-migration", claim_host=None)) == MOVE_SERVER
    assert order_of(migrating, "live-migration", move(type="live-migration")) == LIVE_MIGRATION.at("source")


def test_an_evacuation_is_the_schedulers_until_it_has_a_host() -> None:
    rebuilding = server(of(Vm.ACTIVE, Task.REBUILDING))
    placed = msgspec.structs.replace(rebuilding, host="dest")

    assert order_of(rebuilding, "evacuate", move(type="evacuation")) == MOVE_SERVER
    assert order_of(placed, "evacuate", move(type="evacuation", claim_host=None)) == REBUILD_INSTANCE.at("dest")
    assert order_of(rebuilding, "rebuild", None) == REBUILD_INSTANCE.at("source")


def test_who_takes_a_server_off_the_shelf_depends_on_where_it_is() -> None:
    offloaded = of(Vm.SHELVED_OFFLOADED, Task.UNSHELVING)

    assert order_of(server(offloaded, host=None), "unshelve", None) == MOVE_SERVER
    assert order_of(server(offloaded), "unshelve", None) == UNSHELVE_INSTANCE.at("source")
    assert order_of(server(of(Vm.SHELVED, Task.POWERING_ON)), "unshelve", None) == UNSHELVE_INSTANCE.at("source")


def test_an_upload_belongs_to_the_action_that_makes_the_image() -> None:
    uploading = server(of(Vm.ACTIVE, Task.IMAGE_UPLOADING))

    assert order_of(uploading, "createImage", None) == SNAPSHOT_INSTANCE.at("source")
    assert order_of(server(of(Vm.SHELVED, Task.SHELVING_OFFLOADING)), "shelve", None) == SHELVE_OFFLOAD_INSTANCE.at(
        "source"
    )
