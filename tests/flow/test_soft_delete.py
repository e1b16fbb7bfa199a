"""Soft deletes and restores through the whole cloud."""

from pathlib import Path

from novaflow.states import Power, Vm
from tests.support.actions import LONG, act, guest_of, last_task, settled, task_states
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken, Gate


async def test_a_soft_deleted_server_is_off_and_can_be_restored_with_its_disk(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        content = guest_of(world, server).content

        deleted = await act(world, server, "softDelete")
        assert (deleted.status, deleted.power) == ("SOFT_DELETED", Power.SHUTDOWN)
        assert await task_states(world, server) == ["soft-deleting", None]

        restored = await act(world, server, "restore")
        assert (restored.status, restored.power) == ("ACTIVE", Power.RUNNING)
        assert await task_states(world, server) == ["restoring", None]
        assert guest_of(world, server).content == content


async def test_a_soft_deleted_server_can_be_deleted_for_good(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await act(world, server, "softDelete")

        assert (await world.order(server, "delete")).vm is Vm.DELETED
        assert world.guests() == {}


async def test_a_server_that_was_soft_deleted_in_a_rescue_is_restored_to_its_own_system(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        own = guest_of(world, server).content
        await act(world, server, "rescue")
        await act(world, server, "softDelete")

        restored = await act(world, server, "restore")

        assert (restored.vm, restored.power) == (Vm.ACTIVE, Power.RUNNING)
        assert guest_of(world, server).drives == {"vda": own}


async def test_a_restore_that_fails_leaves_the_server_soft_deleted(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("unrescue", times=1)) as world:
        (server,) = await world.boot()
        await act(world, server, "softDelete")

        failed = await act(world, server, "restore")

        assert (failed.vm, failed.power) == (Vm.SOFT_DELETED, Power.SHUTDOWN)
        assert (await last_task(world, server))[:2] == ("restore", "error")


async def test_a_restore_whose_host_is_killed_is_carried_out_when_it_is_back(tmp_path: Path) -> None:
    gate = Gate("unrescue")
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        (server,) = await world.boot()
        await act(world, server, "softDelete")
        await act(world, server, "restore", settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.processes["compute"].start()

        restored = await settled(world, server.id)

        assert (restored.vm, restored.power) == (Vm.ACTIVE, Power.RUNNING)
