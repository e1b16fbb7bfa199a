"""What became of one action: done, failed and said why, or never begun; and whether the state table allows where the server is now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from novaflow.states import Vm
from novaflow.volumes import Status
from tests.crash_matrix.orders import ACCEPTED, UNCLEAR, Rider
from tests.crash_matrix.storage import BOOT_VOLUMES, VolumeAction
from tests.crash_matrix.world import Row, World

DONE: Final = "done"
FAILED: Final = "failed"  # it ended with a fault, and the server is what it was
BROKEN: Final = "broken"  # it ended with a fault, and the server is in error
NOTHING: Final = "nothing"  # the client was not told that it was accepted, and it was not
WRONG: Final = "wrong"
_DELETES: Final = frozenset({"delete", "forceDelete"})
_TOLERATED: Final = (ACCEPTED, UNCLEAR, "503")
_UNRECORDED: Final = "it was accepted, and there is no record of it"


@dataclass(frozen=True)
class Verdict:
    """`text` says why it failed; `problems` is empty unless something is not as it may be. `owner_id` is the server's, or the volume's."""

    owner_id: str
    outcome: str
    text: str = ""
    problems: Sequence[str] = ()


def verdict(rider: Rider, world: World) -> Verdict:
    """What became of a rider's action, once everything is settled."""
    if isinstance(rider.trial.action, VolumeAction):
        return _of_volume(rider, rider.trial.action, world)
    server_id = rider.server_id or _id_of(rider, world)
    mine = [task for task in world.tasks if task.server_id == server_id][rider.ordered_before :]
    if rider.trial.takes_over:  # which may have been accepted although nobody was told so
        mine = [task for task in mine if task.action in _DELETES]
    server = world.servers.get(server_id)
    vm = server.vm if server else Vm.DELETED
    if rider.answer not in _TOLERATED:
        return _wrong(server_id, f"the client was answered {rider.answer}")
    if not mine:
        return _of_nothing(rider, server_id, vm)
    if len(mine) > 1:
        return _wrong(server_id, f"one action was ordered, and {[task.action for task in mine]} were carried out")
    (task,) = mine
    if task.state == "done":
        return _of_success(rider, server_id, vm, world)
    if task.state == "error":
        return _of_failure(rider, server_id, vm, task)
    return _wrong(server_id, f"its task {task.id} ({task.action}) is {task.state}, the server {vm}")


def _of_volume(rider: Rider, action: VolumeAction, world: World) -> Verdict:
    """Of a volume or a snapshot, which has no task: its order is another one now, unless nothing was accepted."""
    rows = (*world.volumes.values(), *world.snapshots.values())
    found = next((row for row in rows if row.name == rider.looked_at), None)
    owner_id = found.id if found else rider.server_id
    if rider.answer not in _TOLERATED:
        return _wrong(owner_id, f"the client was answered {rider.answer}")
    if found is None or found.order_id == rider.order_before:
        return _wrong(owner_id, _UNRECORDED) if rider.answer == ACCEPTED else Verdict(owner_id, NOTHING)
    if found.fault:
        is_broken = found.status is Status.ERROR
        return Verdict(owner_id, BROKEN if is_broken else FAILED, found.fault)
    if found.status is not action.ends:
        return _wrong(owner_id, f"it was ordered, and {found.name} is {found.status}")
    return Verdict(owner_id, DONE)


def owned_by(rider: Rider, said: Verdict, world: World) -> frozenset[str]:
    """The ids of everything that was made for a rider."""
    rows = (*world.volumes.values(), *world.snapshots.values())
    mine = {row.id for row in rows if row.name.startswith(rider.things.called(""))}
    return frozenset({said.owner_id, rider.server_id, *mine}) - {""}


def _of_nothing(rider: Rider, server_id: str, vm: Vm) -> Verdict:
    if rider.answer == ACCEPTED:
        return _wrong(server_id, _UNRECORDED)
    if server_id and vm != rider.trial.starts and not rider.trial.takes_over:
        return _wrong(server_id, f"nothing was ordered, and the server is {vm}")
    return Verdict(server_id, NOTHING)


def _of_success(rider: Rider, server_id: str, vm: Vm, world: World) -> Verdict:
    if vm != rider.trial.ends:
        return _wrong(server_id, f"it is done, and the server is {vm}")
    has = sum(row.server_id == server_id for row in world.volumes.values())
    if rider.trial.boots_with_volumes and vm is Vm.ACTIVE and has != BOOT_VOLUMES:
        return _wrong(server_id, f"it is done, and the server has {has} volumes")
    return Verdict(server_id, DONE)


def _of_failure(rider: Rider, server_id: str, vm: Vm, task: Row) -> Verdict:
    if not task.message:
        return _wrong(server_id, f"it failed without a word, and the server is {vm}")
    if vm is Vm.ERROR:
        return Verdict(server_id, BROKEN, task.message)
    if vm != rider.trial.starts:
        return _wrong(server_id, f"it failed ({task.message}), and the server is {vm}")
    return Verdict(server_id, FAILED, task.message)


def _wrong(server_id: str, text: str) -> Verdict:
    return Verdict(server_id, WRONG, text, (f"unlawful: {text}",))


def _id_of(rider: Rider, world: World) -> str:
    """A boot whose answer was lost may have made a server all the same."""
    return next((server.id for server in world.servers.values() if server.name == rider.name), "")
