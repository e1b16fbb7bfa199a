"""A live migration: the guest goes on with its memory on another host, and is never on two."""

from pathlib import Path

import pytest

from novaflow.messages import ROLL_BACK_LIVE_MIGRATION, ServerOrder
from novaflow.states import Power, Vm
from services.compute.moving import live
from tests.support.cloud import TINY, USER
from tests.support.gates import Broken, Gate
from tests.support.moves import (
    cast_move,
    deleted_at,
    exact,
    files_left,
    inside,
    killed,
    message,
    move,
    no_files_left,
    nothing_left,
    once,
    other,
    settled,
    states,
    statuses,
    taken,
    two_hosts,
    used,
)

MOMENTS = (
    "claim room on the host",
    "cast compute.live_migration",
    "call compute.pre_live_migration",
    "migrate",
    "call compute.post_live_migration_at_destination",
    "active/migrating -> active/none",
)


async def test_a_guest_that_is_migrated_live_goes_on_with_its_memory(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        before = inside(world, server)

        moved = await move(world, server, "live-migration")

        assert (moved.vm, moved.task, moved.power) == (Vm.ACTIVE, "", Power.RUNNING)
        assert moved.host == other(world, server.host)
        after = inside(world, moved)
        assert (after.memory.boot_id, after.content, after.boots) == (before.memory.boot_id, before.content, 1)
        assert after.memory.counter == before.memory.counter + 1
        assert (world.guests(), files_left(world)) == ({server.id: [moved.host]}, [])
        assert await states(world, server.id, "live-migration") == ["active/migrating", "active/none"]
        assert await statuses(world, server.id) == ["completed"]
        assert (await used(world, server.host or ""), await used(world, moved.host or "")) == (taken(), taken(TINY))
        await exact(world, quota=(1, 1, 512))


async def test_a_live_migration_is_these_messages(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        world.spans.all.clear()

        await move(world, server, "live-migration")
        await world.quiet()

        assert [hop for hop in world.hops("publish", "libvirt", "db") if "assignment" not in hop] == [
            "cast scheduler.move_server",
            "claim room on the host",
            "cast compute.live_migration",
            "call compute.pre_live_migration",
            "migrate",
            "call compute.post_live_migration_at_destination",
            "call conductor.report_progress",
            "active/migrating -> active/none",
        ]


async def test_the_host_that_an_administrator_names_is_the_one(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, "a", "b", "c") as world:
        (server,) = await world.boot()
        target = max({"a", "b", "c"} - {server.host})

        assert (await move(world, server, "live-migration", target=target)).host == target


async def test_while_it_migrates_a_server_has_room_on_both_hosts(tmp_path: Path) -> None:
    gate = Gate("migrate")
    async with two_hosts(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        assert [await used(world, name) for name in ("a", "b")] == [taken(TINY), taken(TINY)]
        await exact(world, quota=(1, 1, 512))

        gate.open()
        await settled(world, server.id)


@pytest.mark.parametrize("operation", ["prepare_incoming", "migrate"])
async def test_a_live_migration_that_fails_leaves_the_guest_where_it_goes_on(tmp_path: Path, operation: str) -> None:
    async with two_hosts(tmp_path, before=Broken(operation, times=1)) as world:
        (server,) = await world.boot()
        before = inside(world, server)

        failed = await move(world, server, "live-migration")

        assert (failed.vm, failed.host, failed.power) == (Vm.ACTIVE, server.host, Power.RUNNING)
        assert await message(world, server.id) == f"{operation} failed for {server.id}: the hypervisor is broken"
        assert inside(world, failed).memory == before.memory
        await no_files_left(world)
        assert await statuses(world, server.id) == ["error"]
        assert await used(world, other(world, server.host)) == taken()
        await exact(world, quota=(1, 1, 512))

        assert (await move(world, server, "live-migration")).host == other(world, server.host)


async def test_a_destination_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PREPARED_WITHIN", 0.5)
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await world.processes[other(world, server.host)].stop()

        failed = await move(world, server, "live-migration")

        assert (failed.vm, failed.host) == (Vm.ACTIVE, server.host)
        assert inside(world, failed).power is Power.RUNNING
        why = await message(world, server.id)
        assert why.startswith(f"host {other(world, server.host)} is not available:")


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_live_migration_whose_host_is_killed_ends_with_one_guest_that_remembers(
    tmp_path: Path, moment: str, side: str
) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        before = inside(world, server)
        hit = server.host if side == "source" else other(world, server.host)

        with once(world, moment, lambda: killed(world, hit or "")) as done:
            await move(world, server, "live-migration", settle=False)
            await done.wait()
        ended = await settled(world, server.id)

        assert (ended.vm, ended.power) == (Vm.ACTIVE, Power.RUNNING)
        assert world.guests() == {server.id: [ended.host]}
        assert inside(world, ended).memory.boot_id == before.memory.boot_id
        await no_files_left(world)
        assert await used(world, other(world, ended.host)) == taken()
        await exact(world, quota=(1, 1, 512))


@pytest.mark.parametrize("moment", MOMENTS[:-1])
async def test_a_server_that_is_deleted_while_it_migrates_live_leaves_nothing(tmp_path: Path, moment: str) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()

        await deleted_at(world, server, moment, move(world, server, "live-migration", settle=False))

        await nothing_left(world)


async def test_a_live_migration_ordered_twice_happens_once(tmp_path: Path) -> None:
    gate = Gate("migrate")
    async with two_hosts(tmp_path, "a", "b", "c", before=gate) as world:
        (server,) = await world.boot()
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()
        await cast_move(world, ordered)
        await cast_move(world, ordered)
        gate.open()

        moved = await settled(world, server.id)
        await world.quiet()

        assert world.guests() == {server.id: [moved.host]}
        assert world.hops("db").count("active/migrating -> active/none") == 1
        await exact(world, quota=(1, 1, 512))


async def test_an_order_to_clear_up_that_comes_late_removes_no_guest_that_is_wanted(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        moved = await move(world, server, "live-migration")
        (task, *_) = await world.servers.actions(server.id)

        late = ServerOrder(context=USER, server_id=server.id, task_id=task.id)
        await world.bus.cast(ROLL_BACK_LIVE_MIGRATION.at(moved.host or ""), late)
        await world.quiet()

        assert world.guests() == {server.id: [moved.host]}
