"""The shelf through the whole cloud: a server that becomes an image, and comes back from it."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from novaflow.config import Config
from novaflow.states import Power, Vm
from tests.support.actions import IMAGE, LONG, act, cast, guest_of, last_task, leftovers, settled, task_states
from tests.support.cloud import Cloud, cloud, settings
from tests.support.gates import Broken, Gate

CHAIN: Final = ["shelving", "shelving_image_pending_upload", "shelving_image_uploading"]


def waiting(seconds: float = -1.0, **more: object) -> Config:
    """Shelved servers wait on their hosts."""
    compute = msgspec.structs.replace(settings().compute, shelved_offload_time=seconds)
    return settings(compute=compute, **more)


async def on_shelf(world: Cloud) -> tuple[int, int]:
    """How many servers are on hosts, and how many guests there are."""
    return sum(host.servers for host in await world.all_hosts()), len(world.guests())


async def test_a_shelved_server_leaves_its_host_at_once_and_comes_back_with_its_disk(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        content = guest_of(world, server).content

        shelved = await act(world, server, "shelve", image_id=IMAGE)

        assert (shelved.status, shelved.power, shelved.host) == ("SHELVED_OFFLOADED", Power.NOSTATE, None)
        assert await task_states(world, server) == [*CHAIN, "shelving_offloading", None]
        assert await on_shelf(world) == (0, 0)
        assert leftovers(world) == []

        back = await act(world, shelved, "unshelve", image_id=IMAGE)

        assert (back.status, back.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == ["unshelving", "spawning", None]
        assert guest_of(world, back).content == content
        assert back.addresses == server.addresses
        await world.quiet()
        assert IMAGE not in world.images.facts
        assert await on_shelf(world) == (1, 1)


async def test_a_shelved_server_that_waits_on_its_host_is_only_started_again(tmp_path: Path) -> None:
    async with cloud(tmp_path, waiting()) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()

        shelved = await act(world, server, "shelve", image_id=IMAGE)

        assert (shelved.status, shelved.power, shelved.host) == ("SHELVED", Power.SHUTDOWN, server.host)
        assert await task_states(world, server) == [*CHAIN, None]

        back = await act(world, shelved, "unshelve", image_id=IMAGE)

        assert (back.status, back.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == ["unshelving", "powering-on", None]
        assert guest_of(world, server).boots == 2
        await world.quiet()
        assert IMAGE not in world.images.facts


async def test_a_shelved_server_is_offloaded_when_it_is_told_to(tmp_path: Path) -> None:
    async with cloud(tmp_path, waiting()) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        await act(world, server, "shelve", image_id=IMAGE)

        offloaded = await act(world, server, "shelveOffload")

        assert (offloaded.status, offloaded.power, offloaded.host) == ("SHELVED_OFFLOADED", Power.NOSTATE, None)
        assert await task_states(world, server) == ["shelving_offloading", None]
        assert await on_shelf(world) == (0, 0)
        assert world.images.facts[IMAGE].status == "active"


@pytest.mark.parametrize(("action", "power"), [("pause", Power.PAUSED), ("suspend", Power.SHUTDOWN)])
async def test_a_shelving_that_fails_leaves_a_guest_its_memory(tmp_path: Path, action: str, power: Power) -> None:
    async with cloud(tmp_path, before=Broken("snapshot")) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        was = await act(world, server, action)
        memory = guest_of(world, server).memory

        after = await act(world, server, "shelve", image_id=IMAGE)

        assert (after.vm, after.power) == (was.vm, power)
        assert guest_of(world, server).memory == memory
        assert IMAGE not in world.images.facts


async def test_a_shelving_that_fails_leaves_the_server_running_and_no_image(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("snapshot")) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()

        after = await act(world, server, "shelve", image_id=IMAGE)

        assert (after.vm, after.power) == (Vm.ACTIVE, Power.RUNNING)
        assert (await last_task(world, server))[:2] == ("shelve", "error")
        assert (leftovers(world), IMAGE in world.images.facts) == ([], False)


async def test_an_unshelving_goes_to_another_host_when_one_fails_it(tmp_path: Path) -> None:
    broken = Broken("spawn", times=0)
    async with cloud(tmp_path, before=broken) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        shelved = await act(world, server, "shelve", image_id=IMAGE)
        broken.times = 1

        back = await act(world, shelved, "unshelve", image_id=IMAGE)

        assert back.vm is Vm.ACTIVE
        assert back.host not in broken.failed
        assert await task_states(world, server) == ["unshelving", "spawning", "unshelving", "spawning", None]
        assert await on_shelf(world) == (1, 1)


async def test_an_unshelving_that_fails_everywhere_leaves_the_server_on_the_shelf_with_its_image(
    tmp_path: Path,
) -> None:
    broken = Broken("spawn", times=0)
    async with cloud(tmp_path, before=broken) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        shelved = await act(world, server, "shelve", image_id=IMAGE)
        broken.times = 100

        after = await act(world, shelved, "unshelve", image_id=IMAGE)

        assert (after.status, after.host) == ("SHELVED_OFFLOADED", None)
        assert (await last_task(world, server))[:2] == ("unshelve", "error")
        assert await on_shelf(world) == (0, 0)
        broken.times = 0
        assert (await act(world, after, "unshelve", image_id=IMAGE)).vm is Vm.ACTIVE


async def test_a_delete_cuts_a_shelving_short_and_leaves_nothing(tmp_path: Path) -> None:
    gate = Gate("snapshot")
    async with cloud(tmp_path, before=gate) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        await act(world, server, "shelve", image_id=IMAGE, settle=False)
        await gate.reached.wait()

        assert (await world.order(server, "delete")).vm is Vm.DELETED

        assert (world.guests(), leftovers(world), IMAGE in world.images.facts) == ({}, [], False)


@pytest.mark.parametrize("operation", ["power_off", "snapshot", "destroy"])
async def test_a_shelving_whose_host_is_killed_goes_on_when_it_is_back(tmp_path: Path, operation: str) -> None:
    gate = Gate(operation)
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        await act(world, server, "shelve", image_id=IMAGE, settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        shelved = await settled(world, server.id)

        assert (shelved.vm, shelved.host) == (Vm.SHELVED_OFFLOADED, None)
        assert world.images.facts[IMAGE].status == "active"
        assert await on_shelf(world) == (0, 0)
        assert leftovers(world) == []


async def test_an_unshelving_whose_host_is_killed_goes_on_when_it_is_back(tmp_path: Path) -> None:
    gate = Gate("spawn", holds=0)
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        shelved = await act(world, server, "shelve", image_id=IMAGE)
        gate.holds = 1
        await act(world, shelved, "unshelve", image_id=IMAGE, settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        assert (await settled(world, server.id)).vm is Vm.ACTIVE
        await world.quiet()
        assert await on_shelf(world) == (1, 1)
        assert IMAGE not in world.images.facts


async def test_an_unshelving_that_comes_again_removes_the_image_that_its_first_try_left(tmp_path: Path) -> None:
    async with cloud(tmp_path, waiting()) as world:
        world.images.queue(IMAGE)
        (server,) = await world.boot()
        await act(world, server, "shelve", image_id=IMAGE)
        world.images.protected.add(IMAGE)
        ordered = await act(world, server, "unshelve", image_id=IMAGE, settle=False)
        await settled(world, server.id)
        world.images.protected.clear()

        await cast(world, ordered, "unshelve")
        await world.quiet()

        assert IMAGE not in world.images.facts
        assert (await world.server(server.id)).vm is Vm.ACTIVE
