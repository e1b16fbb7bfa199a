"""Rebuilds through the whole cloud: the same server, made anew."""

from pathlib import Path

from novaflow.states import Power, Vm
from tests.support.actions import LONG, act, cast, guest_of, last_task, settled, task_states
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken, Gate

CHAIN = ["rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"]


async def test_a_rebuilt_server_has_a_fresh_disk_of_the_new_image_and_its_old_addresses(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.images.add("debian", bytes(8192), disk_format="raw")
        (server,) = await world.boot()
        before = guest_of(world, server)

        rebuilt = await act(world, server, "rebuild", changes={"image_id": "debian"}, password="secret")

        assert (rebuilt.status, rebuilt.power, rebuilt.image_id) == ("ACTIVE", Power.RUNNING, "debian")
        assert await task_states(world, server) == [*CHAIN, None]
        assert ("download", "debian", "user") in world.images.calls
        after = guest_of(world, server)
        assert after.content != before.content
        assert after.macs == before.macs
        assert rebuilt.addresses == server.addresses


async def test_a_server_that_was_stopped_is_stopped_after_its_rebuild(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")

        rebuilt = await act(world, server, "rebuild", keeps_off=True)

        assert (rebuilt.status, rebuilt.power) == ("SHUTOFF", Power.SHUTDOWN)
        assert await task_states(world, server) == [*CHAIN, "powering-off", None]


async def test_a_rebuild_whose_image_is_gone_leaves_the_guest_running(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        content = guest_of(world, server).content

        failed = await act(world, server, "rebuild", changes={"image_id": "gone"})

        assert (failed.vm, failed.power) == (Vm.ACTIVE, Power.RUNNING)
        assert await last_task(world, server) == ("rebuild", "error", "Image gone could not be found.")
        assert guest_of(world, server).content == content


async def test_a_rebuild_that_leaves_no_guest_ends_in_error_and_can_be_tried_again(tmp_path: Path) -> None:
    broken = Broken("spawn", times=0)
    async with cloud(tmp_path, before=broken) as world:
        (server,) = await world.boot()
        broken.times = 1

        failed = await act(world, server, "rebuild")

        assert (failed.vm, failed.power) == (Vm.ERROR, Power.NOSTATE)
        assert failed.fault is not None
        assert (await act(world, server, "rebuild")).vm is Vm.ACTIVE
        assert world.guests() == {server.id: [server.host]}


async def test_a_rebuild_that_comes_again_when_it_is_done_rebuilds_nothing(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        ordered = await act(world, server, "rebuild", settle=False)
        await settled(world, server.id)
        content = guest_of(world, server).content

        await cast(world, ordered, "rebuild")
        await world.quiet()

        assert guest_of(world, server).content == content


async def test_a_delete_takes_over_from_a_rebuild(tmp_path: Path) -> None:
    gate = Gate("spawn", holds=0)
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        gate.holds = 1
        await act(world, server, "rebuild", settle=False)
        await gate.reached.wait()
        ordered = await world.order(server, "delete", settle=False)
        gate.open()

        assert (await settled(world, ordered.id)).vm is Vm.DELETED
        await world.quiet()
        assert world.guests() == {}


async def test_a_rebuild_whose_host_is_killed_is_carried_out_when_it_is_back(tmp_path: Path) -> None:
    gate = Gate("spawn", holds=0)
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        (server,) = await world.boot()
        gate.holds = 1
        await act(world, server, "rebuild", settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        assert (await settled(world, server.id)).vm is Vm.ACTIVE
        await world.quiet()
        assert world.guests() == {server.id: [server.host]}
        assert (await task_states(world, server))[-1] is None


async def test_a_rebuild_that_is_killed_while_it_switches_off_ends_stopped(tmp_path: Path) -> None:
    gate = Gate("power_off", holds=0)
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")
        gate.holds = 1
        await act(world, server, "rebuild", keeps_off=True, settle=False)
        await gate.reached.wait()
        content = guest_of(world, server).content
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        stopped = await settled(world, server.id)

        assert (stopped.vm, stopped.power) == (Vm.STOPPED, Power.SHUTDOWN)
        assert guest_of(world, server).content == content
