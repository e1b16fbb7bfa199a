"""A cold migration, hurt at every step: either of its hosts is killed, or the server is deleted, and everything ends right."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from novaflow.models import Server
from novaflow.states import Power, Vm
from tests.support.cloud import TINY, Cloud
from tests.support.moves import (
    confirm,
    deleted_at,
    exact,
    files_left,
    inside,
    killed,
    move,
    no_files_left,
    nothing_left,
    once,
    other,
    parked,
    revert,
    settled,
    states,
    statuses,
    taken,
    two_hosts,
    used,
)

# What has just been done when the host is killed: by the source, by the destination, by the conductor, in the order of a migration.
MIGRATING = (
    "claim room on the host",
    "destroy domain",
    "cast compute.resize_instance",
    "active/resize_prep -> active/resize_migrating",
    "power off",
    "park",
    "active/resize_migrating -> active/resize_migrated",
    "cast compute.finish_resize",
    "fetch disks",
    "active/resize_migrated -> active/resize_finish",
    "define and start domain",
    "active/resize_finish -> resized/none",
)
CONFIRMING = ("forget parked", "resized/resize_confirming -> active/none")
REVERTING = (
    "destroy domain",
    "resized/resize_reverting -> resized/resize_reverting",
    "cast compute.finish_revert_resize",
    "unpark",
    "resized/resize_reverting -> active/none",
)
SIDES = ("source", "destination")


async def test_a_migrated_server_is_the_same_on_another_host(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        content = inside(world, server).content

        moved = await move(world, server, "migrate")

        assert (moved.vm, moved.host, moved.flavor) == (Vm.RESIZED, other(world, server.host), TINY)
        assert inside(world, moved).content == content
        assert inside(world, moved).power is Power.RUNNING
        await exact(world, quota=(1, 1, 512))
        assert (await confirm(world, server)).host == moved.host
        assert await statuses(world, server.id) == ["confirmed"]
        assert files_left(world) == []
        await exact(world, quota=(1, 1, 512))


async def test_a_migration_never_ends_where_it_began(tmp_path: Path) -> None:
    async with two_hosts(tmp_path, "a") as world:
        (server,) = await world.boot()

        failed = await move(world, server, "migrate")

        assert (failed.vm, failed.host) == (Vm.ACTIVE, "a")
        assert await statuses(world, server.id) == ["error"]
        await exact(world, quota=(1, 1, 512))


@pytest.mark.parametrize("action", ["migrate", "live-migration"])
async def test_a_guest_that_is_booted_by_a_kernel_has_it_on_its_new_host(tmp_path: Path, action: str) -> None:
    async with two_hosts(tmp_path) as world:
        world.images.add("kernel", b"\x7fELF kernel", disk_format="aki", container_format="aki")
        facts = {"disk_format": "ami", "container_format": "ami", "kernel_id": "kernel"}
        image = world.images.add("linux", bytes(4096), **facts)
        (server,) = await world.boot(image_id="linux", image=image)
        asked = len(world.images.calls)
        del world.images.data["linux"]  # what is on the disk is not asked for again

        moved = await move(world, server, action)

        assert moved.host == other(world, server.host)
        assert world.images.calls[asked:] == [("show", "kernel", "user")]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("moment", MIGRATING)
async def test_a_migration_whose_host_is_killed_is_finished(tmp_path: Path, moment: str, side: str) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        content = inside(world, server).content
        hit = server.host if side == "source" else other(world, server.host)

        with once(world, moment, lambda: killed(world, hit or "")) as done:
            await move(world, server, "migrate", settle=False)
            await done.wait()
        moved = await settled(world, server.id)

        assert (moved.vm, moved.host, moved.power) == (Vm.RESIZED, other(world, server.host), Power.RUNNING)
        await _is_whole(world, moved, content)
        assert parked(world) == {server.id: [server.host]}
        assert (await states(world, server.id, "migrate"))[-1] == "resized/none"
        ended = await confirm(world, server)
        assert ended.vm is Vm.ACTIVE
        await _stands_alone(world, ended, content)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("moment", CONFIRMING)
async def test_a_confirm_whose_host_is_killed_is_finished(tmp_path: Path, moment: str, side: str) -> None:
    await _end_hurt(tmp_path, confirm, moment, side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("moment", REVERTING)
async def test_a_revert_whose_host_is_killed_is_finished(tmp_path: Path, moment: str, side: str) -> None:
    await _end_hurt(tmp_path, revert, moment, side)


@pytest.mark.parametrize("moment", MIGRATING[:-1])
async def test_a_server_that_is_deleted_while_it_migrates_leaves_nothing(tmp_path: Path, moment: str) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()

        await deleted_at(world, server, moment, move(world, server, "migrate", settle=False))

        await nothing_left(world)


@pytest.mark.parametrize("moment", [*CONFIRMING[:-1], *REVERTING[:-1]])
async def test_a_server_that_is_deleted_while_its_migration_ends_leaves_nothing(tmp_path: Path, moment: str) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        await move(world, server, "migrate")

        await deleted_at(
            world, server, moment, (confirm if moment in CONFIRMING else revert)(world, server, settle=False)
        )

        await nothing_left(world)


async def _end_hurt(directory: Path, ending: Callable[..., Awaitable[Server]], moment: str, side: str) -> None:
    async with two_hosts(directory) as world:
        (server,) = await world.boot()
        content = inside(world, server).content
        moved = await move(world, server, "migrate")
        hit = server.host if side == "source" else moved.host

        with once(world, moment, lambda: killed(world, hit or "")) as done:
            await ending(world, server, settle=False)
            await done.wait()
        ended = await settled(world, server.id)

        assert (ended.vm, ended.power) == (Vm.ACTIVE, Power.RUNNING)
        assert ended.host == (moved.host if ending is confirm else server.host)
        await _stands_alone(world, ended, content)


async def _is_whole(world: Cloud, server: Server, content: str) -> None:
    """One guest with its own disk, on the host that the database names."""
    assert world.guests() == {server.id: [server.host]}
    guest = inside(world, server)
    assert (guest.content, guest.power) == (content, Power.RUNNING)
    await exact(world, quota=(1, 1, 512))


async def _stands_alone(world: Cloud, server: Server, content: str) -> None:
    """And nothing of its move on the other one."""
    await _is_whole(world, server, content)
    await no_files_left(world)
    assert await used(world, other(world, server.host)) == taken()
