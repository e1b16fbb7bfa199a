"""Pausing and unpausing through the whole cloud."""

from pathlib import Path

from novaflow.states import Power, Vm
from tests.support.actions import LONG, act, cast, guest_of, last_task, settled, task_states
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken, Gate


async def test_a_paused_server_goes_on_with_its_memory(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        boot_id = guest_of(world, server).memory.boot_id

        paused = await act(world, server, "pause")
        assert (paused.status, paused.power) == ("PAUSED", Power.PAUSED)
        assert await task_states(world, server) == ["pausing", None]

        active = await act(world, server, "unpause")
        assert (active.status, active.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == ["unpausing", None]
        assert guest_of(world, server).memory.boot_id == boot_id


async def test_a_pause_that_fails_leaves_the_server_as_it_was(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("pause", times=1)) as world:
        (server,) = await world.boot()

        failed = await act(world, server, "pause")

        assert (failed.vm, failed.power, failed.fault) == (Vm.ACTIVE, Power.RUNNING, None)
        action, state, message = await last_task(world, server)
        assert (action, state) == ("pause", "error")
        assert message is not None
        assert message.endswith("the hypervisor is broken")


async def test_a_pause_that_comes_again_when_the_server_goes_on_pauses_nothing(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        ordered = await act(world, server, "pause", settle=False)
        await settled(world, server.id)
        await act(world, server, "unpause")

        await cast(world, ordered, "pause")
        await world.quiet()

        assert guest_of(world, server).power is Power.RUNNING
        assert (await world.server(server.id)).vm is Vm.ACTIVE


async def test_a_hard_reboot_takes_over_from_a_pause_that_hangs(tmp_path: Path) -> None:
    gate = Gate("pause")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "pause", settle=False)
        await gate.reached.wait()

        rebooted = await world.order(server, "reboot", hard=True)

        assert (rebooted.vm, rebooted.power) == (Vm.ACTIVE, Power.RUNNING)
        assert [task.state for task in (await world.servers.actions(server.id))[:2]] == ["done", "superseded"]


async def test_a_late_hard_reboot_does_not_disturb_who_works_on_the_server_now(tmp_path: Path) -> None:
    gate = Gate("pause")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        rebooting = await world.order(server, "reboot", hard=True, settle=False)
        await settled(world, server.id)
        await act(world, server, "pause", settle=False)
        await gate.reached.wait()

        await world.cast_order(rebooting, "reboot", hard=True)
        await world.quiet()
        gate.open()

        assert (await settled(world, server.id)).vm is Vm.PAUSED


async def test_a_delete_takes_over_from_a_pause_that_hangs(tmp_path: Path) -> None:
    gate = Gate("pause")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "pause", settle=False)
        await gate.reached.wait()

        deleted = await world.order(server, "delete")

        assert deleted.vm is Vm.DELETED
        assert world.guests() == {}


async def test_a_pause_whose_host_is_killed_is_carried_out_when_it_is_back(tmp_path: Path) -> None:
    gate = Gate("pause")
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "pause", settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        paused = await settled(world, server.id)

        assert (paused.vm, paused.power) == (Vm.PAUSED, Power.PAUSED)
        assert guest_of(world, server).boots == 1
