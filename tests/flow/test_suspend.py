"""Suspending and resuming through the whole cloud."""

from pathlib import Path

from novaflow.states import Power, Vm
from tests.support.actions import LONG, act, guest_of, last_task, settled, task_states
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken, Gate


async def test_a_suspended_server_is_off_and_goes_on_with_its_memory(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        boot_id = guest_of(world, server).memory.boot_id

        suspended = await act(world, server, "suspend")
        assert (suspended.status, suspended.power) == ("SUSPENDED", Power.SHUTDOWN)
        assert await task_states(world, server) == ["suspending", None]

        active = await act(world, server, "resume")
        assert (active.status, active.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == ["resuming", None]
        assert guest_of(world, server).memory.boot_id == boot_id


async def test_a_resume_that_fails_leaves_the_server_suspended_with_its_memory(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("resume", times=1)) as world:
        (server,) = await world.boot()
        await act(world, server, "suspend")

        failed = await act(world, server, "resume")

        assert (failed.vm, failed.power) == (Vm.SUSPENDED, Power.SHUTDOWN)
        assert (await last_task(world, server))[:2] == ("resume", "error")
        assert guest_of(world, server).is_saved


async def test_a_suspend_of_a_guest_that_died_fails_and_says_so(tmp_path: Path) -> None:
    gate = Gate("suspend")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "suspend", settle=False)
        await gate.reached.wait()
        world.drivers[server.host or ""].guest_dies(server.id)
        gate.open()
        await settled(world, server.id)

        assert await last_task(world, server) == (
            "suspend",
            "error",
            f"suspend failed for {server.id}: the guest is not running",
        )


async def test_a_hard_reboot_of_a_suspended_server_forgets_its_memory(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        boot_id = guest_of(world, server).memory.boot_id
        await act(world, server, "suspend")

        rebooted = await world.order(server, "reboot", hard=True)

        assert (rebooted.vm, rebooted.power) == (Vm.ACTIVE, Power.RUNNING)
        assert guest_of(world, server).memory.boot_id != boot_id


async def test_a_delete_takes_over_from_a_suspend_that_hangs(tmp_path: Path) -> None:
    gate = Gate("suspend")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "suspend", settle=False)
        await gate.reached.wait()

        assert (await world.order(server, "delete")).vm is Vm.DELETED
        assert world.guests() == {}


async def test_a_resume_whose_host_is_killed_is_carried_out_when_it_is_back(tmp_path: Path) -> None:
    gate = Gate("resume")
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "suspend")
        await act(world, server, "resume", settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        resumed = await settled(world, server.id)

        assert (resumed.vm, resumed.power) == (Vm.ACTIVE, Power.RUNNING)
        assert guest_of(world, server).boots == 1
