"""What the hypervisor says wins: guests that stop, start and vanish by themselves."""

import asyncio
from pathlib import Path

from novaflow.states import Power, Vm
from tests.support.cloud import cloud


async def test_a_guest_that_goes_down_by_itself_makes_its_server_stopped(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        world.drivers[server.host or ""].guest_dies(server.id)

        async def is_stopped() -> bool:
            return (await world.server(server.id)).vm is Vm.STOPPED

        await world.until(is_stopped)
        stopped = await world.settled(server.id)

        assert (stopped.status, stopped.power) == ("SHUTOFF", Power.SHUTDOWN)
        (task, *_) = await world.servers.actions(server.id)
        assert (task.action, task.user_id, task.project_id) == ("stop", "", server.project_id)
        assert (await world.order(server, "start")).status == "ACTIVE"


async def test_a_guest_that_went_down_while_its_host_was_away_is_noticed_at_the_start(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await world.processes["compute"].kill()
        world.drivers[server.host or ""].guest_dies(server.id)
        await world.processes["compute"].start()

        async def is_stopped() -> bool:
            return (await world.server(server.id)).vm is Vm.STOPPED

        await world.until(is_stopped)


async def test_a_server_whose_power_was_recorded_and_then_forgotten_is_stopped_by_the_next_audit(
    tmp_path: Path,
) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        assert server.host
        await world.processes["compute"].kill()
        world.drivers[server.host].guest_dies(server.id)
        assert await world.servers.record_power(server.host, server.id, Power.SHUTDOWN)
        await world.processes["compute"].start()

        async def is_stopped() -> bool:
            return (await world.server(server.id)).vm is Vm.STOPPED

        await world.until(is_stopped)


async def test_a_guest_that_runs_although_its_server_is_stopped_is_switched_off(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")
        driver = world.drivers[server.host or ""]
        await driver.power_on(server.id)

        async def is_off() -> bool:
            return await driver.power(server.id) == Power.SHUTDOWN

        await world.until(is_off)
        assert (await world.server(server.id)).status == "SHUTOFF"


async def test_ordinary_work_is_not_reported_as_news(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")
        await world.order(server, "start")
        await world.order(server, "reboot")
        await world.order(server, "delete")
        await asyncio.sleep(1.2)  # longer than a change must last before it is looked at

        assert "cast conductor.report_power" not in world.hops("publish")
