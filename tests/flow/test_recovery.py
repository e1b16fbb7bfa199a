"""Processes that die, orders that are lost: every server still ends one way, once."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Bus, Conductor
from novaflow.models import NETWORKS_HINT, NO_NETWORK
from novaflow.states import SCHEDULING, Event, Power, Vm
from novaflow.virt.fake import FakeGuest
from tests.support.cloud import Cloud, cloud, settings, soon_down
from tests.support.gates import Gate

LONG = Conductor(task_lease=60.0, recovery_interval=0.1)  # what happens at once does not happen by this


async def ends_active_once(world: Cloud, server_id: str) -> None:
    server = await world.settled(server_id)
    await world.quiet()
    assert server.vm is Vm.ACTIVE, server.fault
    assert world.guests() == {server_id: [server.host]}
    assert sum(host.servers for host in await world.all_hosts()) == 1


async def test_a_build_that_nobody_ordered_is_found_and_ordered(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.bus_is_cut = True
        (server,) = await world.boot(settle=False)

        await ends_active_once(world, server.id)
        (task,) = await world.servers.actions(server.id)
        assert task.attempts == 2


async def test_a_build_that_is_ordered_again_still_wants_no_network(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.bus_is_cut = True
        (server,) = await world.boot(settle=False, hints={NETWORKS_HINT: NO_NETWORK})

        await ends_active_once(world, server.id)
        assert (await world.server(server.id)).addresses == ()


async def test_a_build_that_kills_its_worker_every_time_ends_in_error(tmp_path: Path) -> None:
    poison = Gate("spawn", holds=1000)
    config = settings(conductor=Conductor(task_lease=60.0, recovery_interval=60.0, task_attempts=3))
    async with cloud(tmp_path, config, before=poison) as world:
        (server,) = await world.boot(settle=False)
        for _ in range(3):
            await asyncio.wait_for(poison.reached.wait(), 60.0)
            poison.reached.clear()
            await world.processes["compute"].kill()
            await world.processes["compute"].start()

        settled = await world.settled(server.id)
        await world.quiet()

        assert settled.vm is Vm.ERROR
        assert settled.fault is not None
        assert "finish" in settled.fault.message
        assert world.guests() == {}
        assert sum(host.servers for host in await world.all_hosts()) == 0


async def test_a_claim_whose_order_was_lost_is_ordered_of_the_same_host(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        world.bus_is_cut = True
        (server,) = await world.boot(settle=False)
        assert server.task_id
        spec = await world.servers.spec(server.id)
        assert await world.servers.claim(server.id, server.task_id, "c-2", spec, world.config.scheduler)

        await ends_active_once(world, server.id)
        assert (await world.server(server.id)).host == "c-2"


@pytest.mark.parametrize("service", ["scheduler", "conductor", "compute"])
async def test_whatever_is_killed_in_the_middle_of_builds_they_end_active(tmp_path: Path, service: str) -> None:
    gate = Gate("spawn", holds=3)
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        servers = await world.boot(6, settle=False)
        await gate.reached.wait()
        await world.processes[service].kill()
        more = await world.boot(2, settle=False)
        gate.open()
        await world.processes[service].start()

        settled = [await world.settled(server.id) for server in (*servers, *more)]
        await world.quiet()

        assert [server.vm for server in settled] == [Vm.ACTIVE] * 8, [server.fault for server in settled]
        assert world.guests() == {server.id: [server.host] for server in settled}
        assert sum(host.servers for host in await world.all_hosts()) == 8


async def test_a_host_that_is_killed_and_comes_back_finishes_what_it_had(tmp_path: Path) -> None:
    gate = Gate("power_off")
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        first, second, third = await world.boot(3)
        await world.order(first, "stop", settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        await world.order(second, "delete", settle=False)
        await world.order(third, "reboot", settle=False)
        await world.processes["compute"].start()

        assert (await world.settled(first.id)).vm is Vm.STOPPED
        assert (await world.settled(second.id)).vm is Vm.DELETED
        assert (await world.settled(third.id)).vm is Vm.ACTIVE
        assert world.guests().keys() == {first.id, third.id}


async def test_a_whole_cloud_that_loses_its_queues_goes_on_at_once(tmp_path: Path) -> None:
    gate = Gate("spawn", holds=2)
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        await world.processes["scheduler"].kill()
        waiting = await world.boot(3, settle=False)
        await world.lose_broker()
        gate.open()
        for process in world.processes.values():
            await process.start()

        settled = [await world.settled(server.id) for server in waiting]

        assert [server.vm for server in settled] == [Vm.ACTIVE] * 3
        assert world.guests().keys() == {server.id for server in waiting}


async def test_a_build_on_a_host_that_stays_dead_goes_to_another_and_the_stray_guest_is_removed(
    tmp_path: Path,
) -> None:
    config = settings(compute=soon_down(hosts=1, host="a"))
    gate = Gate("spawn")
    async with cloud(tmp_path, config, before=gate) as world:
        (server,) = await world.boot(settle=False)
        await gate.reached.wait()
        await world.processes["compute"].kill()
        (tmp_path / "a" / "guests" / f"{server.id}.json").write_bytes(
            msgspec.json.encode(FakeGuest(server_id=server.id, name="web", hostname="web", power=Power.RUNNING))
        )
        await world.add_host("b")

        settled = await world.settled(server.id)
        assert (settled.vm, settled.host) == (Vm.ACTIVE, "b")
        assert sorted(world.guests()[server.id]) == ["a", "b"]

        await world.processes["compute"].start()

        async def is_clean() -> bool:
            return world.guests() == {server.id: ["b"]}

        await world.until(is_clean)
        assert [(host.name, host.servers) for host in await world.all_hosts()] == [("a", 0), ("b", 1)]


async def test_a_worker_that_was_given_up_cannot_claim_the_success_of_another(tmp_path: Path) -> None:
    gate = Gate("spawn")
    async with cloud(tmp_path, settings(conductor=LONG), before=gate) as world:
        (server,) = await world.boot(settle=False)
        await gate.reached.wait()
        slow = (await world.server(server.id)).host
        assert server.task_id
        await world.servers.advance(server.id, server.task_id, Event.RESCHEDULED, host=slow)
        spec = await world.servers.spec(server.id)
        other = "c-1" if slow == "c-2" else "c-2"
        assert await world.servers.claim(server.id, server.task_id, other, spec, world.config.scheduler)
        await world.cast_build(server)
        await world.settled(server.id)

        gate.open()
        await world.quiet()

        assert (await world.server(server.id)).vm is Vm.ACTIVE
        assert world.guests() == {server.id: [other]}


async def test_a_build_that_no_host_ever_finishes_ends_in_error_and_says_why(tmp_path: Path) -> None:
    config = settings(conductor=Conductor(task_lease=0.2, recovery_interval=0.05, task_attempts=2))
    async with cloud(tmp_path, config) as world:
        await world.processes["scheduler"].kill()
        (server,) = await world.boot()

        assert server.vm is Vm.ERROR
        assert server.fault is not None
        assert server.fault.message == "The create was ordered 2 times: no host was found in time."


async def test_an_action_on_a_host_that_stays_dead_ends_with_a_fault_that_names_it(tmp_path: Path) -> None:
    conductor = Conductor(task_lease=0.5, recovery_interval=0.1, task_attempts=2)
    config = settings(conductor=conductor, compute=soon_down())
    async with cloud(tmp_path, config) as world:
        (server,) = await world.boot()
        await world.processes["compute"].kill()

        settled = await world.order(server, "stop")

        assert settled.vm is Vm.ACTIVE
        (task, *_) = await world.servers.actions(server.id)
        assert task.state == "error"
        assert task.message == f"The stop was ordered 2 times: host {server.host} is down."


async def test_a_delete_on_a_host_that_stays_dead_is_done_without_it_and_it_cleans_up_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with cloud(tmp_path, settings(compute=soon_down())) as world:
        (server,) = await world.boot()
        await world.processes["compute"].kill()

        deleted = await world.order(server, "delete")
        assert deleted.vm is Vm.DELETED
        assert world.guests() == {server.id: [server.host]}
        assert sum(host.servers for host in await world.all_hosts()) == 0

        await world.processes["compute"].start()

        async def is_clean() -> bool:
            return world.guests() == {}

        await world.until(is_clean)


async def test_work_that_takes_longer_than_the_lease_is_not_ordered_again_while_its_host_lives(tmp_path: Path) -> None:
    gate = Gate("spawn")
    async with cloud(tmp_path, before=gate) as world:
        (server,) = await world.boot(settle=False)
        await gate.reached.wait()
        await asyncio.sleep(1.5)  # more than two leases
        gate.open()

        await ends_active_once(world, server.id)
        (task,) = await world.servers.actions(server.id)
        assert task.attempts == 1


async def test_in_icehouse_delivery_a_lost_order_stays_lost(tmp_path: Path) -> None:
    config = settings(bus=Bus(delivery="icehouse", drain_timeout=0.0))
    async with cloud(tmp_path, config) as world:
        world.bus_is_cut = True
        (server,) = await world.boot(settle=False)
        await asyncio.sleep(1.5)  # more than two leases

        assert (await world.server(server.id)).state == SCHEDULING
