"""Every action in every state of the table: what the API answers is what the table says, and nothing else decides it."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest

from novaflow.states import ACTIONS, MOVES, RULES, STATES, Event, Power, State, Task, Vm
from tests.support.server_world import HOST, IMAGE, OTHER_HOST, World

LIVE = [state for state in STATES if state.vm is not Vm.DELETED]
ANNOTATED = (Vm.ACTIVE, Vm.PAUSED, Vm.SUSPENDED, Vm.STOPPED)


@dataclass(frozen=True)
class Case:
    """One action as a client asks for it. `named` is what its refusals call it, if not the table's name."""

    event: Event
    body: dict[str, Any]
    status: int = HTTPStatus.ACCEPTED
    who: str = "alice"
    named: str = ""
    version: str | None = None

    def __str__(self) -> str:
        return str(self.event)

    @property
    def action(self) -> str:
        return self.named or ACTIONS[self.event].name


LIVE_MIGRATION = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
BACKUP = {"createBackup": {"name": "b", "backup_type": "daily", "rotation": 1}}
# fmt: off
CASES = (
    Case(Event.START_ORDERED,          {"os-start": None}),
    Case(Event.STOP_ORDERED,           {"os-stop": None}),
    Case(Event.REBOOT_ORDERED,         {"reboot": {"type": "SOFT"}}),
    Case(Event.HARD_REBOOT_ORDERED,    {"reboot": {"type": "HARD"}}),
    Case(Event.PAUSE_ORDERED,          {"pause": None}),
    Case(Event.UNPAUSE_ORDERED,        {"unpause": None}),
    Case(Event.SUSPEND_ORDERED,        {"suspend": None}),
    Case(Event.RESUME_ORDERED,         {"resume": None}),
    Case(Event.RESCUE_ORDERED,         {"rescue": None}, HTTPStatus.OK),
    Case(Event.UNRESCUE_ORDERED,       {"unrescue": None}),
    Case(Event.PASSWORD_ORDERED,       {"changePassword": {"adminPass": "s3cret"}}),
    Case(Event.REBUILD_ORDERED,        {"rebuild": {"imageRef": IMAGE}}),
    Case(Event.EVACUATE_ORDERED,       {"evacuate": {"onSharedStorage": False}}, HTTPStatus.OK, "admin"),
    Case(Event.RESIZE_ORDERED,         {"resize": {"flavorRef": "2"}}),
    Case(Event.CONFIRM_ORDERED,        {"confirmResize": None}, HTTPStatus.NO_CONTENT),
    Case(Event.REVERT_ORDERED,         {"revertResize": None}),
    Case(Event.LIVE_MIGRATION_ORDERED, LIVE_MIGRATION, who="admin", named="os-migrateLive", version="2.25"),
    Case(Event.SNAPSHOT_ORDERED,       {"createImage": {"name": "s"}}),
    Case(Event.BACKUP_ORDERED,         BACKUP),
    Case(Event.SHELVE_ORDERED,         {"shelve": None}),
    Case(Event.OFFLOAD_ORDERED,        {"shelveOffload": None}, who="admin"),
    Case(Event.UNSHELVE_ORDERED,       {"unshelve": None}),
    Case(Event.RESTORE_ORDERED,        {"restore": None}),
)
# fmt: on


def refusal(case: Case, server_id: str, state: State) -> str:
    """What an action is refused with in a state where the table has no row for it. Of a switch Nova asks for the host first."""
    if state.vm is Vm.SHELVED_OFFLOADED and case.event in (Event.START_ORDERED, Event.STOP_ORDERED):
        return f"Instance {server_id} is not ready"
    allowed = {rule.before.vm for rule in RULES if rule.event is case.event}
    where = f"task_state {state.task.wire}" if state.vm in allowed else f"vm_state {state.vm}"
    return f"Cannot '{case.action}' instance {server_id} while it is in {where}"


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_action_is_accepted_where_the_table_has_a_row_for_it_and_nowhere_else(
    world: World, case: Case
) -> None:
    server_id = await world.active()
    await world.moved(server_id, OTHER_HOST)
    if case.event is Event.EVACUATE_ORDERED:
        await world.goes_down()
    wrong = {}
    for state in LIVE:
        await world.put(server_id, state)
        reply = await world.act(server_id, case.body, who=case.who, version=case.version)
        after = (await world.servers.get(server_id)).state
        if (state, case.event) in MOVES:
            ok = reply.status == case.status and after == MOVES[state, case.event]
        else:
            refused = (HTTPStatus.CONFLICT, refusal(case, server_id, state))
            ok = (reply.status, reply.message) == refused and after == state
        if not ok:
            wrong[str(state)] = (reply.status, reply.body, str(after))
    assert wrong == {}


def test_every_order_of_the_table_is_tried_here() -> None:
    elsewhere = {Event.DELETE_ORDERED, Event.SOFT_DELETE_ORDERED, Event.RESET_TO_ACTIVE, Event.RESET_TO_ERROR}
    by_the_cloud_itself = {Event.FORCE_STOP_ORDERED}

    assert {case.event for case in CASES} | elsewhere | by_the_cloud_itself == set(ACTIONS)


@pytest.mark.parametrize(
    "body", [case.body for case in CASES if case.who == "alice"], ids=lambda body: next(iter(body))
)
async def test_nothing_is_done_to_a_deleted_server(world: World, body: dict[str, Any]) -> None:
    server_id = await world.active()
    _, order = await deleted(world, server_id)
    await world.servers.advance(server_id, order.task_id, Event.DELETED, host=HOST, power=Power.NOSTATE)

    reply = await world.act(server_id, body)

    assert (reply.status, reply.message) == (HTTPStatus.NOT_FOUND, f"Instance {server_id} could not be found.")


async def deleted(world: World, server_id: str) -> tuple[str, Any]:
    assert (await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")).status == HTTPStatus.NO_CONTENT
    return await world.order()


async def test_delete_takes_over_from_anything(world: World) -> None:
    server_id = await world.active()
    for state in LIVE:
        host = None if state.vm is Vm.SHELVED_OFFLOADED else HOST
        if host is None:
            continue  # that one is gone at once, and cannot be put anywhere afterwards
        await world.put(server_id, state)
        reply = await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")
        after = (await world.servers.get(server_id)).state
        assert (reply.status, after.vm, after.task) == (HTTPStatus.NO_CONTENT, state.vm, Task.DELETING), state


@pytest.mark.parametrize(("said", "vm"), [("active", Vm.ACTIVE), ("error", Vm.ERROR)])
async def test_an_administrator_says_what_is_so(world: World, said: str, vm: Vm) -> None:
    server_id = await world.active()
    for state in LIVE:
        await world.put(server_id, state)
        reply = await world.act(server_id, {"os-resetState": {"state": said}}, who="admin")
        server = await world.servers.get(server_id)
        assert (reply.status, server.vm, server.task, server.task_id) == (HTTPStatus.ACCEPTED, vm, Task.IDLE, None), (
            state
        )
    assert [action.action for action in await world.servers.actions(server_id)][:2] == ["resetState", "resetState"]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_lock_keeps_its_owner_from_what_the_table_says(world: World, case: Case) -> None:
    server_id = await world.active()
    await world.moved(server_id, OTHER_HOST)
    await world.act(server_id, {"lock": None})
    before = next(state for state in LIVE if (state, case.event) in MOVES)
    await world.put(server_id, before)

    reply = await world.act(server_id, case.body, version=case.version)

    if ACTIONS[case.event].is_locked_out and case.who == "alice":
        assert (reply.status, reply.message) == (HTTPStatus.CONFLICT, f"Instance {server_id} is locked")
    else:
        assert reply.status == (case.status if case.who == "alice" else HTTPStatus.FORBIDDEN)
    if ACTIONS[case.event].is_locked_out:
        await world.put(server_id, before)
        assert (await world.act(server_id, case.body, who="admin", version=case.version)).status == case.status


async def test_a_lock_is_heard_of_before_a_wrong_state(world: World) -> None:
    server_id = await world.active()
    await world.act(server_id, {"lock": None})

    assert (await world.act(server_id, {"os-start": None})).message == f"Instance {server_id} is locked"


@pytest.mark.parametrize("case", [case for case in CASES if ACTIONS[case.event].needs_launch], ids=str)
async def test_what_was_never_active_is_told_so(world: World, case: Case) -> None:
    server_id = await world.created()
    before = next(state for state in LIVE if (state, case.event) in MOVES and state.vm is not Vm.SHELVED_OFFLOADED)
    await world.put(server_id, before)
    if case.event is Event.EVACUATE_ORDERED:
        await world.goes_down()

    reply = await world.act(server_id, case.body, who="admin", version=case.version)

    said = f"Cannot '{case.action}' an instance which has never been active"
    assert (reply.status, reply.message) == (HTTPStatus.CONFLICT, said)


@pytest.mark.parametrize("vm", list(Vm), ids=str)
async def test_metadata_is_changed_where_nova_lets_it(world: World, vm: Vm) -> None:
    server_id = await world.active()
    for state in (state for state in LIVE if state.vm is vm):
        await world.put(server_id, state)
        reply = await world.api.ask("POST", f"/servers/{server_id}/metadata", {"metadata": {"a": "b"}}, who="alice")
        assert reply.status == (HTTPStatus.OK if vm in ANNOTATED else HTTPStatus.CONFLICT), state


async def test_every_status_of_the_table_can_be_listed_by(world: World) -> None:
    server_id = await world.active()
    statuses = {state.status for state in LIVE}
    for state in LIVE:
        await world.put(server_id, state)
        others = "&".join(f"status={status}" for status in sorted(statuses - {state.status}))
        listed = (await world.api.get(f"/servers?status={state.status}", who="alice"))["servers"]
        not_listed = (await world.api.get(f"/servers?{others}", who="alice"))["servers"]
        assert ([server["id"] for server in listed], not_listed) == ([server_id], []), state


async def test_the_task_of_a_confirmation_is_not_shown(world: World) -> None:
    server_id = await world.active()
    await world.put(server_id, next(state for state in STATES if state.task is Task.RESIZE_CONFIRMING))

    shown = await world.show(server_id)

    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("VERIFY_RESIZE", None)
