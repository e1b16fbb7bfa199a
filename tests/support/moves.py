"""Moves of servers in a cloud without front doors: ordered as nova-api orders them, and looked at from every side.

What must be exact at every moment is asked here: which hosts have a guest, which have a parked one, what is claimed of whom, and what counts
in the quota.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import select

from novaflow.config import Conductor, Notifications
from novaflow.db import accompaniments
from novaflow.db.moving import EVACUATION, LIVE, MIGRATION, RESIZE
from novaflow.db.quotas import Quotas
from novaflow.db.schema.compute import migrations, server_history
from novaflow.messages import CONFIRM_RESIZE, MOVE_SERVER, REVERT_RESIZE, MoveServer, ServerOrder
from novaflow.models import Flavor, Server
from novaflow.quotas import QuotaLimits, Usage
from novaflow.states import Event, Vm
from novaflow.virt.fake.guest import FakeGuest
from rpc.tracing import Span
from tests.support.cloud import USER, Cloud, cloud, settings

BIG: Final = Flavor(id="2", name="m1.small", vcpus=2, ram_mb=2048, disk_gb=20, ephemeral_gb=1, swap_mb=64)
PLENTY: Final = QuotaLimits(instances=-1, cores=-1, ram=-1)
_KINDS: Final = {
    "resize": (RESIZE, Event.RESIZE_ORDERED),
    "migrate": (MIGRATION, Event.RESIZE_ORDERED),
    "live-migration": (LIVE, Event.LIVE_MIGRATION_ORDERED),
    "evacuate": (EVACUATION, Event.EVACUATE_ORDERED),
}


async def move(
    world: Cloud, server: Server, action: str, *, new: Flavor | None = None, target: str = "", settle: bool = True
) -> Server:
    """Order a move, and with `settle` wait for what becomes of it."""
    kind, event = _KINDS[action]
    accompany = accompaniments.of_move(kind, PLENTY, new=new, target_host=target)
    now = await world.server(server.id)
    ordered = await world.servers.order(USER, now, action, event, accompany=accompany)
    await cast_move(world, ordered)
    return await settled(world, server.id) if settle else ordered


async def cast_move(world: Cloud, server: Server) -> None:
    """Ask the scheduler for a host, again if need be."""
    assert server.task_id
    spec = await world.servers.spec(server.id)
    ask = MoveServer(context=USER, server_id=server.id, task_id=server.task_id, spec=spec)
    await world.bus.cast(MOVE_SERVER, ask)


async def confirm(world: Cloud, server: Server, *, settle: bool = True) -> Server:
    """Keep what a resize has made."""
    return await _end(world, server, "confirmResize", Event.CONFIRM_ORDERED, settle=settle)


async def revert(world: Cloud, server: Server, *, settle: bool = True) -> Server:
    """Have it as it was."""
    return await _end(world, server, "revertResize", Event.REVERT_ORDERED, settle=settle)


async def _end(world: Cloud, server: Server, action: str, event: Event, *, settle: bool) -> Server:
    now = await world.server(server.id)
    accompany = accompaniments.of_settled_resize()
    ordered = await world.servers.order(USER, now, action, event, accompany=accompany)
    moving = await world.servers.migration(server.id)
    assert moving
    assert ordered.task_id
    assert ordered.host
    order = ServerOrder(context=USER, server_id=server.id, task_id=ordered.task_id)
    if event is Event.CONFIRM_ORDERED:
        await world.bus.cast(CONFIRM_RESIZE.at(moving.source_host), order)
    else:
        await world.bus.cast(REVERT_RESIZE.at(ordered.host), order)
    return await settled(world, server.id) if settle else ordered


async def settled(world: Cloud, server_id: str, seconds: float = 15.0) -> Server:
    """The server once no task owns it, whatever it is then."""

    async def is_settled() -> bool:
        return (await world.server(server_id)).task_id is None

    await world.until(is_settled, seconds)
    return await world.server(server_id)


def other(world: Cloud, host: str | None) -> str:
    """The host that is not this one."""
    (found,) = set(world.drivers) - {host}
    return found


def inside(world: Cloud, server: Server) -> FakeGuest:
    """The server's guest, on its host."""
    assert server.host
    return world.drivers[server.host].inside(server.id)


def parked(world: Cloud) -> dict[str, list[str]]:
    """The hosts that have a parked guest of each server."""
    found: dict[str, list[str]] = {}
    for file in world.directory.glob("*/parked/*.json"):
        found.setdefault(file.stem, []).append(file.parts[-3])
    return found


def files_left(world: Cloud) -> list[str]:
    """What moves have left on the hosts besides guests: parked files, files that arrived, guests that are expected."""
    patterns = ("*/parked/*", "*/incoming/*", "compute/*/arrivals/*")
    return [str(path.relative_to(world.directory)) for pattern in patterns for path in world.directory.glob(pattern)]


async def used(world: Cloud, host: str) -> tuple[int, int, int, int]:
    """What is claimed of a host: servers, vcpus, ram_mb, disk_gb."""
    found = await world.hosts.get(host)
    return found.servers, found.vcpus_used, found.ram_mb_used, found.disk_gb_used


def taken(*flavors: Flavor) -> tuple[int, int, int, int]:
    """What servers of these flavors take of a host."""
    return (
        len(flavors),
        sum(flavor.vcpus for flavor in flavors),
        sum(flavor.ram_mb for flavor in flavors),
        sum(flavor.claimed_disk_gb for flavor in flavors),
    )


async def usage(world: Cloud) -> tuple[int, int, int]:
    """What counts in the quota: instances, cores, MB."""
    found: Usage = await Quotas(world.database).usage(USER.project_id, USER.user_id)
    return found.instances, found.cores, found.ram


async def statuses(world: Cloud, server_id: str) -> list[str]:
    """The statuses of a server's migrations, oldest first."""
    query = select(migrations.c.status).where(migrations.c.server_id == server_id).order_by(migrations.c.id)

    async def work(connection: Any) -> Any:
        return (await connection.execute(query)).scalars().all()

    return list(await world.database.read(work))


async def states(world: Cloud, server_id: str, action: str) -> list[str]:
    """The states that a server went through in its latest task of this name."""
    task = next(task for task in await world.servers.actions(server_id) if task.action == action)
    columns = (server_history.c.vm_after, server_history.c.task_after)
    query = select(*columns).where(server_history.c.task_id == task.id).order_by(server_history.c.id)

    async def work(connection: Any) -> Any:
        return (await connection.execute(query)).all()

    return [f"{vm}/{task or 'none'}" for vm, task in await world.database.read(work)]


async def message(world: Cloud, server_id: str) -> str:
    """Why a server's latest task did not succeed."""
    (task, *_) = await world.servers.actions(server_id)
    assert task.state == "error"
    return task.message or ""


async def exact(world: Cloud, *, quota: tuple[int, int, int] | None = None) -> None:
    """Nothing is claimed or counted that is not there, and nothing is there that is not."""
    for name in world.drivers:
        before = await used(world, name)
        await world.hosts.reconcile(name)
        assert await used(world, name) == before, f"the counters of {name} had drifted"
    assert await Quotas(world.database).reconcile() == []
    if quota is not None:
        assert await usage(world) == quota


@asynccontextmanager
async def two_hosts(
    directory: Path, *names: str, down_time: float = 10.0, tells: bool = False, **more: Any
) -> AsyncIterator[Cloud]:
    """A cloud whose hosts (two, unless they are named) are processes of their own, with short leases: any of them may be killed.

    One that is away for `down_time` seconds is given no servers. `tells`: with notifications.
    """
    compute = msgspec.structs.replace(settings().compute, service_down_time=down_time)
    conductor = Conductor(task_lease=0.4, recovery_interval=0.1, task_attempts=8)
    config = settings(conductor=conductor, compute=compute, notifications=Notifications(enabled=tells))
    async with cloud(directory, config, services=("conductor", "scheduler"), **more) as world:
        for name in names or ("a", "b"):
            await world.add_host(name)
        yield world


@contextmanager
def once(world: Cloud, name: str, strike: Callable[[], Awaitable[object]]) -> Iterator[asyncio.Event]:
    """Do `strike` the moment the first span of this name has ended. The event is set when it is done."""
    done = asyncio.Event()
    running: list[asyncio.Task[None]] = []

    async def struck() -> None:
        await strike()
        done.set()

    def look(span: Span) -> None:
        if span.name == name and not running:
            running.append(asyncio.create_task(struck()))

    world.spans.on_span = look
    try:
        yield done
    finally:
        world.spans.on_span = None


async def killed(world: Cloud, host: str) -> None:
    """End a host's process as by SIGKILL, and start it again."""
    await world.processes[host].kill()
    await world.processes[host].start()


async def deleted_at(world: Cloud, server: Server, moment: str, during: Awaitable[object]) -> None:
    """Have a server deleted at this moment of what is ordered meanwhile, and wait until it is."""

    async def delete() -> None:
        await world.order(await world.server(server.id), "delete", settle=False)

    with once(world, moment, delete) as done:
        await during
        await done.wait()
    assert (await settled(world, server.id)).vm is Vm.DELETED


async def no_files_left(world: Cloud) -> None:
    """Whatever moves have put on the hosts besides guests is removed."""

    async def is_clean() -> bool:
        return files_left(world) == []

    await world.until(is_clean)


async def nothing_left(world: Cloud) -> None:
    """No guest, no parked one and no file of a move is anywhere, nothing is claimed and nothing counts."""

    async def is_clean() -> bool:
        return not world.guests() and not parked(world) and not files_left(world)

    await world.until(is_clean)
    for name in world.drivers:
        assert await used(world, name) == taken()
    await exact(world, quota=(0, 0, 0))
