"""A live migration that an administrator ends before its time: the guest goes on where it was, or it is too late."""

from pathlib import Path

import pytest

from novaflow.messages import LIVE_MIGRATION_ABORT, LIVE_MIGRATION_FORCE_COMPLETE, ServerOrder
from novaflow.models import Server
from novaflow.states import Event, Power, Vm
from novaflow.virt.fake.host import FakeDelays
from rpc.procedure import Cast
from tests.support.cloud import USER, Cloud
from tests.support.gates import Gate
from tests.support.moves import (
    exact,
    inside,
    killed,
    move,
    no_files_left,
    once,
    other,
    settled,
    states,
    statuses,
    taken,
    two_hosts,
    used,
)
from tests.support.notifications import listen, until_told

ENDLESS = 3600.0  # seconds


async def tell(world: Cloud, source: str | None, server: Server, procedure: Cast[ServerOrder]) -> None:
    order = ServerOrder(context=USER, server_id=server.id, task_id=server.task_id or "")
    await world.bus.cast(procedure.at(source or ""), order)


async def abort(world: Cloud, server: Server) -> None:
    """As nova-api does it: recorded first."""
    await world.servers.advance(server.id, server.task_id or "", Event.ABORT_WANTED)
    await tell(world, server.host, server, LIVE_MIGRATION_ABORT)


@pytest.mark.parametrize("operation", ["prepare_incoming", "migrate"])
async def test_a_live_migration_that_is_aborted_leaves_the_guest_where_it_goes_on(
    tmp_path: Path, operation: str
) -> None:
    gate = Gate(operation)
    async with two_hosts(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        before = inside(world, server)
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        await abort(world, ordered)
        stayed = await settled(world, server.id)
        gate.open()

        assert (stayed.vm, stayed.host, stayed.power) == (Vm.ACTIVE, server.host, Power.RUNNING)
        assert inside(world, stayed).memory == before.memory
        await _is_cancelled(world, server)
        assert (await move(world, server, "live-migration")).host == other(world, server.host)


async def test_a_live_migration_that_is_aborted_before_its_source_hears_of_it_does_not_begin(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()

        async def aborted() -> None:
            await abort(world, await world.server(server.id))

        source = world.processes[server.host or ""]
        await source.stop()
        with once(world, "claim room on the host", aborted) as done:
            await move(world, server, "live-migration", settle=False)
            await done.wait()
        await source.start()
        stayed = await settled(world, server.id)

        assert (stayed.vm, stayed.host, stayed.power) == (Vm.ACTIVE, server.host, Power.RUNNING)
        assert "migrate" not in world.hops("libvirt")
        await _is_cancelled(world, server)


async def test_a_source_that_is_killed_while_it_aborts_does_not_go_on_afterwards(tmp_path: Path) -> None:
    gate = Gate("migrate")
    async with two_hosts(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        await world.servers.advance(server.id, ordered.task_id or "", Event.ABORT_WANTED)
        await killed(world, server.host or "")
        stayed = await settled(world, server.id)

        assert (stayed.vm, stayed.host, stayed.power) == (Vm.ACTIVE, server.host, Power.RUNNING)
        await _is_cancelled(world, server)


@pytest.mark.parametrize("late", [LIVE_MIGRATION_ABORT, LIVE_MIGRATION_FORCE_COMPLETE], ids=["abort", "force"])
async def test_an_order_to_a_migration_that_is_over_changes_nothing(tmp_path: Path, late: Cast[ServerOrder]) -> None:
    async with two_hosts(tmp_path) as world:
        (server,) = await world.boot()
        ordered = await move(world, server, "live-migration", settle=False)
        moved = await settled(world, server.id)

        for host in (server.host, moved.host):
            await tell(world, host, ordered, late)
        await world.quiet()

        assert moved.host == other(world, server.host)
        assert world.guests() == {server.id: [moved.host]}


async def test_an_abort_of_a_guest_that_has_left_lets_it_arrive(tmp_path: Path) -> None:
    gate = Gate("finish_incoming")
    async with two_hosts(tmp_path, before=gate) as world:
        (server,) = await world.boot()
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        await abort(world, ordered)
        await world.quiet()
        gate.open()
        moved = await settled(world, server.id)

        assert (moved.vm, moved.host) == (Vm.ACTIVE, other(world, server.host))
        assert await statuses(world, server.id) == ["completed"]
        await exact(world, quota=(1, 1, 512))


async def test_who_listens_hears_of_an_aborted_live_migration_what_nova_tells(tmp_path: Path) -> None:
    gate = Gate("migrate")
    async with two_hosts(tmp_path, before=gate, tells=True) as world:
        heard = await listen(world, "info")
        (server,) = await world.boot()
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        await abort(world, ordered)
        await until_told(world, heard, "compute.instance.live.migration.abort.end")

        assert [said["event_type"] for said in heard if "create" not in said["event_type"]] == [
            "compute.instance.live_migration._rollback.start",
            "compute.instance.live_migration._rollback.end",
            "compute.instance.live.migration.abort.end",
        ]


async def test_a_live_migration_that_would_last_for_ever_is_forced_to_complete(tmp_path: Path) -> None:
    gate = Gate("migrate")
    async with two_hosts(tmp_path, before=gate, delays=FakeDelays(migrate=ENDLESS)) as world:
        (server,) = await world.boot()
        before = inside(world, server)
        ordered = await move(world, server, "live-migration", settle=False)
        await gate.reached.wait()

        await world.servers.advance(server.id, ordered.task_id or "", Event.COMPLETION_WANTED)
        await tell(world, server.host, ordered, LIVE_MIGRATION_FORCE_COMPLETE)
        gate.open()
        moved = await settled(world, server.id)
        await world.quiet()

        assert (moved.vm, moved.host, moved.power) == (Vm.ACTIVE, other(world, server.host), Power.RUNNING)
        assert inside(world, moved).memory.boot_id == before.memory.boot_id
        assert await states(world, server.id, "live-migration") == ["active/migrating"] * 2 + ["active/none"]
        assert await statuses(world, server.id) == ["completed"]
        assert (await world.server(server.id)).power is Power.RUNNING  # that it stood still meanwhile is nobody's wish
        await exact(world, quota=(1, 1, 512))


async def _is_cancelled(world: Cloud, server: Server) -> None:
    """The action ended as it was wanted, without a fault, and nothing of it is left anywhere."""
    (task, *_) = await world.servers.actions(server.id)
    assert (task.action, task.state, task.message) == ("live-migration", "done", None)
    assert (await states(world, server.id, "live-migration"))[-1] == "active/none"
    assert await statuses(world, server.id) == ["cancelled"]
    assert (await world.server(server.id)).fault is None
    await no_files_left(world)
    assert await used(world, other(world, server.host)) == taken()
    await exact(world, quota=(1, 1, 512))
