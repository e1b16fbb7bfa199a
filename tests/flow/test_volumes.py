"""Volumes through the whole cloud: given, taken, copied, and put right after every crash."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from novaflow.clock import SystemClock
from novaflow.config import Compute, Conductor
from novaflow.virt.driver import StoredVolume
from novaflow.volumes import Status
from tests.support.actions import LONG, act
from tests.support.cloud import USER, cloud, settings
from tests.support.gates import Broken, Gate
from tests.support.volume_store import Store


async def test_a_volume_is_made_for_its_first_server_taken_away_and_deleted(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.made()
        assert (volume.status, volume.host) == (Status.AVAILABLE, None)

        attached = await store.attach(server, volume)

        assert (attached.status, attached.host, attached.device) == (Status.IN_USE, server.host, "vdc")
        noted = StoredVolume(volume_id=volume.id, server_id=server.id, device="vdc")
        assert await store.stored(server) == [noted]

        free = await store.settled(await store.asked.detach(USER, server.id, volume.id))
        assert (free.status, free.server_id) == (Status.AVAILABLE, None)
        assert await store.stored(server) == [StoredVolume(volume_id=volume.id)]

        deleted = await store.settled(await store.asked.delete(USER, volume.id))
        assert deleted.status is Status.DELETED
        assert await store.stored(server) == []


async def test_a_deleted_server_leaves_its_volumes_and_another_gets_them(tmp_path: Path) -> None:
    async with cloud(tmp_path, settings(compute=_one_host())) as world:
        store, (first, second) = Store(world), await world.boot(2)
        volume = await store.attach(first, await store.made())

        await world.order(first, "delete")

        free = await store.volumes.get(volume.id)
        assert (free.status, free.server_id) == (Status.AVAILABLE, None)
        assert (await store.attach(second, free)).server_id == second.id


async def test_a_rebuilt_server_keeps_its_volumes(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.attach(server, await store.made())

        await act(world, server, "rebuild")

        assert (await store.stored(server))[0].server_id == server.id
        assert (await store.volumes.get(volume.id)).status is Status.IN_USE


async def test_an_attachment_that_fails_leaves_the_volume_free_and_says_why(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("attach_volume", times=1)) as world:
        store, (server,) = Store(world), await world.boot()

        failed = await store.attach(server, await store.made())

        assert (failed.status, failed.server_id) == (Status.AVAILABLE, None)
        assert "the hypervisor is broken" in failed.fault
        assert (await store.attach(server, failed)).status is Status.IN_USE


async def test_a_paused_guest_keeps_its_volume(tmp_path: Path) -> None:
    async with cloud(tmp_path, settings(compute=_one_host(detach_timeout=0.05))) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.attach(server, await store.made())
        await act(world, server, "pause")

        kept = await store.settled(await store.asked.detach(USER, server.id, volume.id))

        assert (kept.status, kept.server_id) == (Status.IN_USE, server.id)
        assert "has not let the disk go" in kept.fault


async def test_what_is_on_a_volume_is_on_a_volume_made_of_its_snapshot(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.attach(server, await store.made())

        snapshot = await store.copied(volume, may_be_in_use=True)
        second = await store.made(size_gb=2, snapshot_id=snapshot.id)

        assert (snapshot.status, snapshot.size_gb, snapshot.host) == (Status.AVAILABLE, 1, server.host)
        assert (second.status, second.host) == (Status.AVAILABLE, server.host)
        home = tmp_path / str(server.host) / "volumes"
        first_note, second_note = [(home / one.id / "disk").read_bytes()[104:200] for one in (volume, second)]
        assert first_note == second_note


async def test_a_volume_of_a_snapshot_that_nobody_had_written_to_is_an_empty_one(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        store, (server,) = Store(world), await world.boot()
        snapshot = await store.copied(await store.made())
        assert (snapshot.status, snapshot.host) == (Status.AVAILABLE, None)

        volume = await store.attach(server, await store.made(snapshot_id=snapshot.id))

        assert (volume.status, volume.snapshot_id, volume.fault) == (Status.IN_USE, snapshot.id, "")


async def test_an_order_whose_host_is_killed_is_carried_out_when_it_is_back(tmp_path: Path) -> None:
    gate = Gate("attach_volume")
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.made()
        await store.asked.attach(USER, server.id, volume.id)
        await gate.reached.wait()

        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        assert (await store.settled(volume)).status is Status.IN_USE
        assert (await store.stored(server))[0].server_id == server.id


async def test_an_order_that_takes_long_is_not_given_up_while_its_host_works_on_it(tmp_path: Path) -> None:
    gate = Gate("snapshot_volume")
    conductor = Conductor(task_lease=0.8, recovery_interval=0.05, task_attempts=2)
    async with cloud(tmp_path, settings(conductor=conductor), before=gate) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.attach(server, await store.made())
        copying = asyncio.create_task(store.copied(volume, may_be_in_use=True))
        await gate.reached.wait()
        await asyncio.sleep(2.5)  # more than the leases of all its orders

        gate.open()

        copied = await copying
        assert (copied.status, copied.fault) == (Status.AVAILABLE, "")


async def test_an_order_that_was_lost_is_sent_again(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.made()
        await store.volumes.attach(volume.id, server.id, "lost", SystemClock().now(), project_id=None, device="vdh")

        found = await store.settled(volume)

        assert (found.status, found.device) == (Status.IN_USE, "vdh")


async def test_an_order_that_is_never_carried_out_is_given_up(tmp_path: Path) -> None:
    conductor = Conductor(task_lease=0.2, recovery_interval=0.05, task_attempts=2)
    async with cloud(tmp_path, settings(conductor=conductor)) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.made()
        await world.processes["compute"].kill()

        given_up = await store.settled(await store.asked.attach(USER, server.id, volume.id))

        assert (given_up.status, given_up.server_id) == (Status.AVAILABLE, None)
        assert "after 2 orders" in given_up.fault


async def test_a_server_that_is_deleted_while_it_gets_a_volume_has_none(tmp_path: Path) -> None:
    gate = Gate("attach_volume")
    async with cloud(tmp_path, before=gate) as world:
        store, (server,) = Store(world), await world.boot()
        volume = await store.made()
        await store.asked.attach(USER, server.id, volume.id)
        await gate.reached.wait()

        await world.order(server, "delete")
        gate.open()
        await world.quiet()

        assert (await store.volumes.get(volume.id)).status is Status.AVAILABLE
        assert await store.stored(server) == [StoredVolume(volume_id=volume.id)]


async def test_the_audit_takes_and_gives_what_the_records_say(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        store, (server,) = Store(world), await world.boot()
        wanted, unwanted = [await store.attach(server, await store.made()) for _ in range(2)]
        driver = world.drivers[server.host or ""]
        detaching = await store.volumes.detach(unwanted.id, server.id, "x", SystemClock().now(), project_id=None)
        await store.volumes.report(unwanted.id, detaching.order_id, SystemClock().now())
        await driver.detach_volume(server.id, wanted.id, 1)
        await driver.make_volume("11111111-1111-4111-8111-111111111111", 1)  # nobody has ever heard of it

        await world.processes["compute"].stop()
        await world.processes["compute"].start()

        async def is_right() -> bool:
            noted = {one.volume_id: one.server_id for one in await store.stored(server)}
            return (noted[wanted.id], noted[unwanted.id]) == (server.id, "")

        await world.until(is_right)
        assert len(await store.stored(server)) == 3


def _one_host(**more: Any) -> Compute:
    return msgspec.structs.replace(settings().compute, hosts=1, **more)
