"""Volumes whose host or conductor is killed between the deed and its record: what is recorded in the end is what is there."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from novaflow.models import Server
from novaflow.virt.driver import StoredVolume
from novaflow.volumes import Status, Volume
from tests.support.cloud import USER, cloud
from tests.support.moves import once
from tests.support.volume_store import Store


async def fresh(store: Store, _: Server) -> Volume:
    return await store.made()


async def in_use(store: Store, server: Server) -> Volume:
    return await store.attach(server, await store.made())


async def kept(store: Store, server: Server) -> Volume:
    return await store.settled(await store.asked.detach(USER, server.id, (await in_use(store, server)).id))


async def attach(store: Store, server: Server, volume: Volume) -> Volume:
    return await store.asked.attach(USER, server.id, volume.id)


async def detach(store: Store, server: Server, volume: Volume) -> Volume:
    return await store.asked.detach(USER, server.id, volume.id)


async def delete(store: Store, _: Server, volume: Volume) -> Volume:
    return await store.asked.delete(USER, volume.id)


async def copy(store: Store, _: Server, volume: Volume) -> Volume:
    snapshot = await store.copied(volume)
    return await store.asked.create(USER, snapshot_id=snapshot.id)


Before = Callable[[Store, Server], Awaitable[Volume]]
Order = Callable[[Store, Server, Volume], Awaitable[Volume]]
ORDERS: dict[Status, tuple[Before, Order, Status]] = {
    Status.ATTACHING: (fresh, attach, Status.IN_USE),
    Status.DETACHING: (in_use, detach, Status.AVAILABLE),
    Status.DELETING: (kept, delete, Status.DELETED),
    Status.CREATING: (kept, copy, Status.AVAILABLE),
}


@pytest.mark.parametrize("victim", ["compute", "conductor"])
@pytest.mark.parametrize("moment", ["volume {}", "call conductor.report_volume"], ids=["done", "reported"])
@pytest.mark.parametrize("status", ORDERS)
async def test_an_order_that_was_done_when_somebody_was_killed_is_recorded_once(
    tmp_path: Path, status: Status, moment: str, victim: str
) -> None:
    before, order, ends = ORDERS[status]
    async with cloud(tmp_path) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await before(store, server)
        await world.quiet()

        async def strike() -> None:
            await world.processes[victim].kill()
            await world.processes[victim].start()

        with once(world, moment.format(status), strike) as struck:
            ordered = await order(store, server, volume)
            await struck.wait()
        ended = await store.settled(ordered)
        await world.quiet()

        assert (ended.status, ended.fault) == (ends, "")
        noted = [one for one in await store.stored(server) if one.volume_id == ended.id]
        wanted = StoredVolume(volume_id=ended.id, server_id=ended.server_id or "", device=ended.device)
        assert noted == ([] if ends is Status.DELETED else [wanted])
