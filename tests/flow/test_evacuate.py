"""An evacuation: the server is made anew on another host, its own being dead, and what comes back with that is removed."""

from pathlib import Path

import pytest

from novaflow.states import Power, Vm
from tests.support.cloud import TINY, Cloud
from tests.support.gates import Broken
from tests.support.moves import (
    cast_move,
    deleted_at,
    exact,
    inside,
    killed,
    message,
    move,
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
    "active/rebuilding -> active/rebuilding",
    "cast compute.rebuild_instance",
    "active/rebuild_block_device_mapping -> active/rebuild_spawning",
    "define and start domain",
    "active/rebuild_spawning -> active/none",
)


async def test_an_evacuated_server_is_new_on_another_host(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        before = inside(world, server)
        await world.processes[server.host or ""].kill()

        moved = await move(world, server, "evacuate")

        assert (moved.vm, moved.host, moved.power) == (Vm.ACTIVE, other(world, server.host), Power.RUNNING)
        assert inside(world, moved).content != before.content
        assert moved.addresses == server.addresses
        assert await states(world, server.id, "evacuate") == [
            "active/rebuilding",
            "active/rebuilding",
            "active/rebuild_block_device_mapping",
            "active/rebuild_spawning",
            "active/none",
        ]
        assert await statuses(world, server.id) == ["done"]
        assert (await used(world, server.host or ""), await used(world, moved.host or "")) == (taken(), taken(TINY))
        await exact(world, quota=(1, 1, 512))


async def test_a_host_that_comes_back_loses_the_guests_that_were_evacuated(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await world.processes[server.host or ""].kill()
        moved = await move(world, server, "evacuate")
        assert len(world.guests()[server.id]) == 2

        await world.processes[server.host or ""].start()

        await _one_guest(world, server.id, moved.host)
        assert (await world.server(server.id)).vm is Vm.ACTIVE


async def test_a_server_that_was_off_is_off_after_its_evacuation(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")
        await world.processes[server.host or ""].kill()

        moved = await move(world, server, "evacuate")

        assert (moved.vm, moved.host, moved.power) == (Vm.STOPPED, other(world, server.host), Power.SHUTDOWN)
        await exact(world, quota=(1, 1, 512))


async def test_an_evacuation_that_finds_no_host_leaves_the_server_in_error_where_it_was(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, "a") as world:  # its own is never asked
        (server,) = await world.boot()
        await world.processes["a"].kill()

        failed = await move(world, server, "evacuate")

        assert (failed.vm, failed.host) == (Vm.ERROR, "a")
        assert failed.fault is not None
        assert failed.fault.message.startswith("No valid host was found.")
        assert await statuses(world, server.id) == ["error"]
        await exact(world, quota=(1, 1, 512))


async def test_an_evacuation_that_fails_leaves_the_server_to_be_evacuated_again(tmp_path: Path) -> None:
    broken = Broken("spawn", times=0)
    async with two_hosts(tmp_path, before=broken) as world:
        (server,) = await world.boot()
        await world.processes[server.host or ""].kill()
        broken.times = 1

        failed = await move(world, server, "evacuate")

        assert (failed.vm, failed.host) == (Vm.ERROR, server.host)
        assert await message(world, server.id) == f"spawn failed for {server.id}: the hypervisor is broken"
        assert await used(world, other(world, server.host)) == taken()
        await exact(world, quota=(1, 1, 512))
        moved = await move(world, failed, "evacuate")
        assert (moved.vm, moved.host) == (Vm.ACTIVE, other(world, server.host))


@pytest.mark.parametrize("moment", MOMENTS)
async def test_an_evacuation_whose_host_is_killed_is_finished(tmp_path: Path, moment: str) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await world.processes[server.host or ""].kill()
        destination = other(world, server.host)

        with once(world, moment, lambda: killed(world, destination)) as done:
            await move(world, server, "evacuate", settle=False)
            await done.wait()
        moved = await settled(world, server.id)

        assert (moved.vm, moved.host, moved.power) == (Vm.ACTIVE, destination, Power.RUNNING)
        await world.processes[server.host or ""].start()
        await _one_guest(world, server.id, destination)
        await exact(world, quota=(1, 1, 512))


@pytest.mark.parametrize("moment", MOMENTS[:-1])
async def test_a_server_that_is_deleted_while_it_is_evacuated_leaves_nothing(tmp_path: Path, moment: str) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await world.processes[server.host or ""].kill()

        await deleted_at(world, server, moment, move(world, server, "evacuate", settle=False))

        await world.processes[server.host or ""].start()
        await nothing_left(world)


async def test_an_evacuation_ordered_twice_happens_once(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, "a", "b", "c") as world:
        (server,) = await world.boot()
        await world.processes[server.host or ""].kill()
        ordered = await move(world, server, "evacuate", settle=False)
        await cast_move(world, ordered)

        moved = await settled(world, server.id)
        await world.quiet()

        assert set(world.guests()[server.id]) == {server.host, moved.host}
        await exact(world, quota=(1, 1, 512))


async def _one_guest(world: Cloud, server_id: str, host: str | None) -> None:
    async def is_alone() -> bool:
        return world.guests() == {server_id: [host]}

    await world.until(is_alone)
