"""An offloaded server comes back: on whichever host has room for it, once, whatever happens on the way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from novaflow.clock import SystemClock
from novaflow.db.services import Services
from novaflow.models import Server
from novaflow.states import Power, Vm
from tests.support.actions import IMAGE, act, cast
from tests.support.cloud import TINY, Cloud
from tests.support.gates import Gate
from tests.support.moves import (
    deleted_at,
    exact,
    inside,
    killed,
    message,
    nothing_left,
    once,
    other,
    settled,
    taken,
    two_hosts,
    used,
)

MOMENTS = (
    "claim room on the host",
    "cast compute.unshelve_instance",
    "shelved_offloaded/unshelving -> shelved_offloaded/spawning",
    "define and start domain",
    "shelved_offloaded/spawning -> active/none",
)


@asynccontextmanager
async def shelved(directory: Path, *hosts: str, **more: Any) -> AsyncIterator[tuple[Cloud, Server, str]]:
    """A cloud with one offloaded server, and what was on its disk."""
    async with two_hosts(directory, *hosts, **more) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        content = inside(world, server).content
        await act(world, server, "shelve", image_id=IMAGE)
        assert (await used(world, server.host or ""), world.guests()) == (taken(), {})
        yield world, server, content


async def test_an_offloaded_server_comes_back_where_there_is_room(tmp_path: Path) -> None:
    async with shelved(tmp_path) as (world, server, content):
        services = Services(world.database, SystemClock())
        (gone,) = [one for one in await services.all(SystemClock().now(), 60.0) if one.host == server.host]
        await services.set_forced_down(gone.id, True)

        back = await act(world, server, "unshelve", image_id=IMAGE)

        assert (back.vm, back.host, back.power) == (Vm.ACTIVE, other(world, server.host), Power.RUNNING)
        assert inside(world, back).content == content
        assert await used(world, back.host or "") == taken(TINY)
        await exact(world, quota=(1, 1, 512))


async def test_a_server_that_fits_nowhere_stays_on_the_shelf_and_says_why(tmp_path: Path) -> None:
    async with shelved(tmp_path, "a", down_time=1.0) as (world, server, _):
        await world.processes["a"].kill()

        async def is_down() -> bool:
            return not any(host.is_up for host in await world.all_hosts())

        await world.until(is_down)
        after = await act(world, server, "unshelve", image_id=IMAGE)

        assert (after.status, after.host) == ("SHELVED_OFFLOADED", None)
        assert (await message(world, server.id)).startswith("No valid host was found.")
        await exact(world, quota=(1, 1, 512))


@pytest.mark.parametrize("moment", MOMENTS)
async def test_an_unshelving_whose_host_is_killed_is_finished(tmp_path: Path, moment: str) -> None:
    async with shelved(tmp_path) as (world, server, content):

        async def kill() -> None:
            now = await world.server(server.id)
            await killed(world, now.host or "a")

        with once(world, moment, kill) as done:
            await act(world, server, "unshelve", settle=False, image_id=IMAGE)
            await done.wait()
        back = await settled(world, server.id)

        assert (back.vm, back.power) == (Vm.ACTIVE, Power.RUNNING)
        assert world.guests() == {server.id: [back.host]}
        assert inside(world, back).content == content
        assert await used(world, other(world, back.host)) == taken()
        await exact(world, quota=(1, 1, 512))


@pytest.mark.parametrize("moment", MOMENTS[:-1])
async def test_a_server_that_is_deleted_while_it_is_unshelved_leaves_nothing(tmp_path: Path, moment: str) -> None:
    async with shelved(tmp_path) as (world, server, _):
        await deleted_at(world, server, moment, act(world, server, "unshelve", settle=False, image_id=IMAGE))

        await nothing_left(world)


async def test_an_unshelving_ordered_twice_happens_once(tmp_path: Path) -> None:
    gate = Gate("spawn", holds=0)
    async with shelved(tmp_path, "a", "b", "c", before=gate) as (world, server, _):
        gate.holds = 1
        ordered = await act(world, server, "unshelve", settle=False, image_id=IMAGE)
        await gate.reached.wait()
        await cast(world, ordered, "unshelve")
        gate.open()

        back = await settled(world, server.id)
        await world.quiet()

        assert world.guests() == {server.id: [back.host]}
        await exact(world, quota=(1, 1, 512))
