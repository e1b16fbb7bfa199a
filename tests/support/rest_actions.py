"""Every action on a server as a client orders it, and what the state table says must come of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from novaflow.lab.openstack import OpenStack
from novaflow.states import ACTIONS, MOVES, Event, Task, Vm, state_of

Body = Mapping[str, Any]
FLAVORS: Final = {"1": "twin", "twin": "1"}  # m1.tiny and one with the same disk, so that a server can go both ways
TWIN: Final = {"id": "twin", "name": "m1.twin", "vcpus": 2, "ram": 1024, "disk": 1}
_FAILURES: Final = frozenset({Event.FAILED, Event.BROKEN, Event.BUILD_FAILED})


@dataclass(frozen=True)
class RestAction:
    """`body` makes the request's body of the server as the API shows it and of an image's id; None: DELETE the server."""

    name: str
    event: Event
    body: Callable[[Mapping[str, Any], str], Body] | None

    def __str__(self) -> str:
        return self.name


def _plain(key: str, value: object = None) -> Callable[[Mapping[str, Any], str], Body]:
    return lambda _server, _image: {key: value}


# fmt: off
REST_ACTIONS: Final = (
    RestAction("stop",          Event.STOP_ORDERED,           _plain("os-stop")),
    RestAction("start",         Event.START_ORDERED,          _plain("os-start")),
    RestAction("reboot",        Event.REBOOT_ORDERED,         _plain("reboot", {"type": "SOFT"})),
    RestAction("hard reboot",   Event.HARD_REBOOT_ORDERED,    _plain("reboot", {"type": "HARD"})),
    RestAction("pause",         Event.PAUSE_ORDERED,          _plain("pause")),
    RestAction("unpause",       Event.UNPAUSE_ORDERED,        _plain("unpause")),
    RestAction("suspend",       Event.SUSPEND_ORDERED,        _plain("suspend")),
    RestAction("resume",        Event.RESUME_ORDERED,         _plain("resume")),
    RestAction("rescue",        Event.RESCUE_ORDERED,         _plain("rescue")),
    RestAction("unrescue",      Event.UNRESCUE_ORDERED,       _plain("unrescue")),
    RestAction("rebuild",       Event.REBUILD_ORDERED,        lambda _, image: {"rebuild": {"imageRef": image}}),
    RestAction("resize",        Event.RESIZE_ORDERED,
               lambda server, _: {"resize": {"flavorRef": FLAVORS[server["flavor"]["id"]]}}),
    RestAction("migrate",       Event.RESIZE_ORDERED,         _plain("migrate")),
    RestAction("confirm",       Event.CONFIRM_ORDERED,        _plain("confirmResize")),
    RestAction("revert",        Event.REVERT_ORDERED,         _plain("revertResize")),
    RestAction("live migrate",  Event.LIVE_MIGRATION_ORDERED,
               _plain("os-migrateLive", {"host": None, "block_migration": "auto"})),
    RestAction("create image",  Event.SNAPSHOT_ORDERED,       _plain("createImage", {"name": "snapshot"})),
    RestAction("create backup", Event.BACKUP_ORDERED,
               _plain("createBackup", {"name": "backup", "backup_type": "daily", "rotation": 1})),
    RestAction("shelve",        Event.SHELVE_ORDERED,         _plain("shelve")),
    RestAction("offload",       Event.OFFLOAD_ORDERED,        _plain("shelveOffload")),
    RestAction("unshelve",      Event.UNSHELVE_ORDERED,       _plain("unshelve")),
    RestAction("delete",        Event.DELETE_ORDERED,         None),
)
# fmt: on
BY_NAME: Final = {action.name: action for action in REST_ACTIONS}
ACCEPTED: Final = (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT)


def place(server: Mapping[str, Any]) -> tuple[Vm, Task]:
    """Where the API says that a server is."""
    return Vm(server["OS-EXT-STS:vm_state"]), Task(server["OS-EXT-STS:task_state"] or "")


def is_allowed(action: RestAction, server: Mapping[str, Any]) -> bool:
    """Whether the table lets this action begin where the server is now."""
    vm, task = place(server)
    return (state_of(vm, task), action.event) in MOVES


@cache
def ends(vm: Vm, event: Event) -> frozenset[Vm]:
    """What a settled server may be once the action that `event` orders has succeeded."""
    seen, ahead, found = set(), {MOVES[state_of(vm, ""), event]}, set()
    while ahead:
        here = ahead.pop()
        seen.add(here)
        if here.task is Task.IDLE:
            found.add(here.vm)
            continue
        ahead |= {
            after
            for (before, happened), after in MOVES.items()
            if before == here and happened not in ACTIONS and happened not in _FAILURES
        } - seen
    return frozenset(found)


async def make_twin(cloud: OpenStack) -> None:
    """The flavor that servers are resized to."""
    await cloud.ask(
        "POST", f"{cloud.compute}/flavors", json={"flavor": TWIN}, accept=(HTTPStatus.OK, HTTPStatus.CONFLICT)
    )


async def order(cloud: OpenStack, action: RestAction, server: Mapping[str, Any], image: str, **more: Any) -> Any:
    """Order it; raises ApiError for an answer that is not one of `accept` (default: those of accepted actions)."""
    url = f"{cloud.compute}/servers/{server['id']}"
    accept = more.pop("accept", ACCEPTED)
    if action.body is None:
        return await cloud.ask("DELETE", url, accept=accept)
    return await cloud.ask("POST", f"{url}/action", json=action.body(server, image), accept=accept)
