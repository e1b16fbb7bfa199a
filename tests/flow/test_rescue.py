"""Rescues through the whole cloud: another system in the guest's place, with the guest's own disk beside it."""

from pathlib import Path

from novaflow.states import Power, Vm
from tests.support.actions import LONG, act, guest_of, last_task, settled, task_states
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken, Gate


async def test_a_rescued_server_boots_the_rescue_image_and_sees_its_own_disk(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.add("rescuer", bytes(8192), disk_format="raw")
        (server,) = await world.boot()
        own = guest_of(world, server).content

        rescued = await act(world, server, "rescue", image_id="rescuer", password="secret")

        assert (rescued.status, rescued.power) == ("RESCUE", Power.RUNNING)
        assert await task_states(world, server) == ["rescuing", None]
        assert ("download", "rescuer", "user") in world.images.calls
        drives = guest_of(world, server).drives
        assert drives["vdb"] == own
        assert drives["vda"] != own


async def test_a_rescue_without_an_image_boots_the_servers_own_anew(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        own = guest_of(world, server).content

        await act(world, server, "rescue")

        drives = guest_of(world, server).drives
        assert (drives["vdb"], "vda" in drives) == (own, True)


async def test_an_unrescued_server_boots_its_own_system_again(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        own = guest_of(world, server).content
        await act(world, server, "rescue")

        active = await act(world, server, "unrescue")

        assert (active.status, active.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == ["unrescuing", None]
        assert guest_of(world, server).drives == {"vda": own}


async def test_a_rescue_whose_image_is_gone_leaves_the_guest_running(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        boot_id = guest_of(world, server).memory.boot_id

        failed = await act(world, server, "rescue", image_id="gone")

        assert (failed.vm, failed.power) == (Vm.ACTIVE, Power.RUNNING)
        assert await last_task(world, server) == ("rescue", "error", "Image gone could not be found.")
        assert guest_of(world, server).memory.boot_id == boot_id


async def test_a_rescue_that_fails_leaves_the_guest_off_and_the_server_in_error(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("rescue", times=1)) as world:
        (server,) = await world.boot()

        failed = await act(world, server, "rescue")

        assert (failed.vm, failed.power) == (Vm.ERROR, Power.SHUTDOWN)
        assert failed.fault is not None
        assert (await act(world, server, "rescue")).vm is Vm.RESCUED


async def test_a_rescue_of_a_stopped_server_that_fails_leaves_it_stopped(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("rescue", times=1)) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")

        assert (await act(world, server, "rescue")).vm is Vm.STOPPED


async def test_the_cache_keeps_what_the_guest_and_its_rescue_are_made_of(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.add("rescuer", bytes(8192), disk_format="raw")
        (server,) = await world.boot()
        await act(world, server, "rescue", image_id="rescuer")

        (note,) = tmp_path.glob(f"compute/images/users/*/{server.id}")

        assert note.read_text().count(",") == 1  # two images


async def test_a_delete_takes_over_from_a_rescue(tmp_path: Path) -> None:
    gate = Gate("rescue")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "rescue", settle=False)
        await gate.reached.wait()

        assert (await world.order(server, "delete")).vm is Vm.DELETED
        assert world.guests() == {}


async def test_a_rescue_whose_host_is_killed_is_carried_out_when_it_is_back(tmp_path: Path) -> None:
    gate = Gate("rescue")
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "rescue", settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        rescued = await settled(world, server.id)

        assert (rescued.vm, rescued.power) == (Vm.RESCUED, Power.RUNNING)
        assert guest_of(world, server).rescue is not None
