"""What may not be, whatever was killed: pure, from everything there is once it has settled.

Nothing is taken from the counters' own recounts: what is in use is counted here once more, from servers and moves.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from novaflow.db.moving import IN_FLIGHT, RESIZE
from novaflow.images.image import Status
from novaflow.states import Power, Task, Vm
from tests.crash_matrix.cloud import SOURCE
from tests.crash_matrix.judging_storage import is_stored, storage_problems
from tests.crash_matrix.world import Problem, Row, World

OFF: Final = frozenset({Power.NOSTATE, Power.SHUTDOWN})
_RUNS: Final = frozenset({Vm.ACTIVE, Vm.RESCUED})
_IS_OFF: Final = frozenset({Vm.STOPPED, Vm.SUSPENDED, Vm.SHELVED, Vm.SOFT_DELETED})
_KEPT_IMAGES: Final = frozenset({"createImage", "createBackup"})

_KEEPS: Final = frozenset({"done", "superseded"})


def problems(world: World) -> list[Problem]:
    """Whatever is wrong with a cloud in which nothing should be under way."""
    return [
        problem
        for look in (_stuck, _doubles, _guests, _files, _claims, _images, _rooms, _quotas, _powers, storage_problems)
        for problem in look(world)
    ]


def _stuck(world: World) -> Iterator[Problem]:
    for server in world.servers.values():
        if server.task_id or server.task is not Task.IDLE or server.vm is Vm.BUILDING:
            yield Problem("stuck", server.id, f"server {server.id} is {server.vm}/{server.task}, task {server.task_id}")
    for task in world.tasks:
        if task.state == "running":
            yield Problem("stuck", task.server_id, f"task {task.id} ({task.action}) of server {task.server_id} runs")


def _doubles(world: World) -> Iterator[Problem]:
    found = Counter(server_id for disk in world.disks.values() for server_id in disk.guests)
    for server_id, count in found.items():
        if count > 1:
            yield Problem("double", server_id, f"server {server_id} has {count} guests")


def _guests(world: World) -> Iterator[Problem]:
    """Every guest is where its server is, and every server that should have one has one."""
    for host, disk in world.disks.items():
        for server_id in disk.guests:
            server = world.servers.get(server_id)
            if server is None or server.host != host:
                where = f"is at {server.host}" if server else "is gone"
                yield Problem("orphan", server_id, f"there is a guest at {host} of server {server_id}, which {where}")
        for server_id in disk.parked:
            if not _is_parked(world.servers.get(server_id), host):
                yield Problem("orphan", server_id, f"server {server_id} is parked at {host}")
    for server in world.servers.values():
        has_guest = any(server.id in disk.guests for disk in world.disks.values())
        if not has_guest and server.vm not in (Vm.ERROR, Vm.SHELVED_OFFLOADED):
            yield Problem("disagreement", server.id, f"server {server.id} is {server.vm} and has no guest")
        if server.vm is Vm.SHELVED_OFFLOADED and server.host:
            yield Problem("disagreement", server.id, f"server {server.id} is offloaded and at {server.host}")
        if server.vm is Vm.RESIZED and server.id not in world.disks[SOURCE].parked:
            yield Problem("disagreement", server.id, f"server {server.id} is resized, and nothing is parked")


def _is_parked(server: Row | None, host: str) -> bool:
    return server is not None and server.vm is Vm.RESIZED and host == SOURCE


def _files(world: World) -> Iterator[Problem]:
    """Files of hosts that are no guests, and files of the image service that are no images."""
    for host, disk in world.disks.items():
        for name in disk.files:
            folder, _, rest = name.partition("/")
            server_id = rest.partition("/")[0].removesuffix(".json")
            is_guest = folder == "guests" and server_id in disk.guests and rest == f"{server_id}.json"
            is_parked = folder == "parked" and _is_parked(world.servers.get(server_id), host)
            if not is_guest and not is_parked and not is_stored(name, world, host):
                yield Problem("orphan", server_id, f"there is a file {name} at {host}")
    for name in world.stored - world.images.keys():
        yield Problem("orphan", "", f"the image service has a file {name}")


def _claims(world: World) -> Iterator[Problem]:
    """Moves that are over hold nothing, and gone servers no address."""
    for move in world.migrations:
        server = world.servers.get(move.server_id)
        is_awaited = server is not None and server.vm is Vm.RESIZED and move.status == "finished"
        if not is_awaited and (move.claim_host or move.status in IN_FLIGHT):
            held = f"holds room at {move.claim_host}" if move.claim_host else "is under way"
            yield Problem("orphan", move.server_id, f"move {move.id} ({move.type}, {move.status}) {held}")
    for server_id in world.addressed - world.servers.keys():
        yield Problem("orphan", server_id, f"server {server_id} is gone and has an address")


def _images(world: World) -> Iterator[Problem]:
    """An image of a server was asked for and is whole, or there is none.

    One that was whole before a delete took over is its owner's all the same.
    """
    kept = {task.params.image_id for task in world.tasks if task.action in _KEPT_IMAGES and task.state in _KEEPS}
    shelved = {
        task.server_id: task.params.image_id
        for task in world.tasks
        if task.action == "shelve" and task.state == "done" and _is_on_shelf(world.servers.get(task.server_id))
    }
    for image_id, server_id in world.made_of.items():
        image = world.images.get(image_id)
        if image is None:
            continue
        if image_id not in kept and image_id != shelved.get(server_id):
            yield Problem("orphan", server_id, f"image {image.name} ({image.status}) of server {server_id} is nobody's")
        elif image.status is not Status.ACTIVE:
            yield Problem("disagreement", server_id, f"image {image.name} of server {server_id} is {image.status}")
    for image_id in [*shelved.values()]:
        if image_id not in world.images:
            yield Problem("disagreement", "", f"the image {image_id} of a shelved server is missing")


def _is_on_shelf(server: Row | None) -> bool:
    return server is not None and server.vm in (Vm.SHELVED, Vm.SHELVED_OFFLOADED)


def _rooms(world: World) -> Iterator[Problem]:
    for host in world.hosts:
        here = [server for server in world.servers.values() if server.host == host.name]
        claims = [move for move in world.migrations if move.claim_host == host.name]
        taken = (
            sum(server.vcpus for server in here) + sum(move.claim_vcpus for move in claims),
            sum(server.ram_mb for server in here) + sum(move.claim_ram_mb for move in claims),
            sum(server.disk_gb for server in here) + sum(move.claim_disk_gb for move in claims),
            len(here) + len(claims),
        )
        counted = (host.vcpus_used, host.ram_mb_used, host.disk_gb_used, host.servers)
        if taken != counted:
            yield Problem("drift", "", f"host {host.name} counts {counted} of {taken}")


def _quotas(world: World) -> Iterator[Problem]:
    """A soft-deleted server takes no quota; while a resize may be reverted, the larger of two flavors counts."""
    resizes = {move.server_id: move for move in world.migrations if move.type == RESIZE and move.status in IN_FLIGHT}
    taken: Counter[tuple[str, str, str]] = Counter()
    for server in world.servers.values():
        if server.vm is Vm.SOFT_DELETED:
            continue
        move = resizes.get(server.id)
        flavors = [move.old_flavor, move.new_flavor] if move else []
        amounts = {
            "instances": 1,
            "cores": max([server.vcpus, *(flavor.vcpus for flavor in flavors)]),
            "ram": max([server.ram_mb, *(flavor.ram_mb for flavor in flavors)]),
        }
        for user in ("", server.user_id):
            taken.update({(server.project_id, user, name): amount for name, amount in amounts.items()})
    counted = Counter(
        {
            (row.project_id, row.user_id, name): getattr(row, name)
            for row in world.usages
            for name in ("instances", "cores", "ram")
        }
    )
    for who in sorted(taken.keys() | counted.keys()):
        if taken[who] != counted[who]:
            yield Problem("drift", "", f"quota of {who}: {counted[who]} counted, {taken[who]} in use")


def _powers(world: World) -> Iterator[Problem]:
    for server in world.servers.values():
        guest = next((disk.guests[server.id] for disk in world.disks.values() if server.id in disk.guests), None)
        if guest is None:
            continue
        told = f"server {server.id} is {server.vm} with power {server.power.name}, and its guest"
        if server.power != guest.power:
            yield Problem("disagreement", server.id, f"{told} {guest.power.name}")
        wrong = {
            "does not run": server.vm in _RUNS and guest.power is not Power.RUNNING,
            "is not paused": server.vm is Vm.PAUSED and guest.power is not Power.PAUSED,
            "is not off": server.vm in _IS_OFF and guest.power not in OFF,
            "is not saved": server.vm is Vm.SUSPENDED and not guest.is_saved,
            "is rescued": server.vm is not Vm.RESCUED and server.vm is not Vm.ERROR and guest.rescue is not None,
            "is not rescued": server.vm is Vm.RESCUED and guest.rescue is None,
            "is of another size": (guest.vcpus, guest.ram_mb) != (server.vcpus, server.ram_mb),
        }
        for what, is_so in wrong.items():
            if is_so:
                yield Problem("disagreement", server.id, f"{told} {what}")
