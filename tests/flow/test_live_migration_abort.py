"""A live migration that an administrator ends before its time: the guest goes on where it was, or it is too late."""

from pathlib import Path

from novaflow.messages import LIVE_MIGRATION_ABORT, LIVE_MIGRATION_FORCE_COMPLETE, ServerOrder
from novaflow.models import Server
from novaflow.states import Power, Vm
from rpc.procedure import Cast
from tests.support.cloud import USER, Cloud
from tests.support.gates import Gate
from tests.support.moves import exact, files_left, inside, message, move, other, settled, statuses, two_hosts


async def tell(world: Cloud, source: str | None, server: Server, procedure: Cast[ServerOrder]) -> None:
    order = ServerOrder(context=USER, server_id=server.id, task_id=server.task_id or "")
    await world.bus.cast(procedure.at(source or ""), order)


async def test_a_live_migration_that_is_aborted_leaves_the_guest_where_it_goes_on(tmp_path: Path) -> None:
    gate = Gate("migrate")
    async with two_hosts(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        before = inside(world, server)
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        await tell(world, server.host, ordered, LIVE_MIGRATION_ABORT)
        stayed = await settled(world, server.id)

        assert (stayed.vm, stayed.host, stayed.power) == (Vm.ACTIVE, server.host, Power.RUNNING)
        assert inside(world, stayed).memory == before.memory
        assert await message(world, server.id) == f"the task failed for {server.id}: it was aborted"
        assert await statuses(world, server.id) == ["error"]

        async def is_clean() -> bool:
            return files_left(world) == []

        await world.until(is_clean)
        await exact(world, quota=(1, 1, 512))
        assert (await move(world, server, "live-migration")).host == other(world, server.host)


async def test_an_abort_that_comes_late_aborts_nothing(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        ordered = await move(world, server, "live-migration", settle=False)
        moved = await settled(world, server.id)

        for host in (server.host, moved.host):
            await tell(world, host, ordered, LIVE_MIGRATION_ABORT)
        await world.quiet()

        assert moved.host == other(world, server.host)
        assert world.guests() == {server.id: [moved.host]}


async def test_there_is_nothing_to_force_but_it_does_no_harm(tmp_path: Path) -> None:
    gate = Gate("migrate")
    async with two_hosts(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        await tell(world, server.host, ordered, LIVE_MIGRATION_FORCE_COMPLETE)
        gate.open()

        assert (await settled(world, server.id)).host == other(world, server.host)
