"""Stop and start through the whole cloud."""

from pathlib import Path

from novaflow.config import Compute
from novaflow.states import Power, Vm
from tests.support.cloud import cloud, settings
from tests.support.gates import Broken


async def test_a_stopped_server_is_shut_off_and_starts_again(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()

        stopped = await world.order(server, "stop")
        assert (stopped.status, stopped.power) == ("SHUTOFF", Power.SHUTDOWN)

        started = await world.order(server, "start")
        assert (started.status, started.power) == ("ACTIVE", Power.RUNNING)
        assert started.host == server.host


async def test_a_stop_is_fenced_then_done_then_reported(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        world.spans.all.clear()

        await world.order(server, "stop")
        await world.quiet()

        assert world.hops("publish", "db", "libvirt") == [
            "cast compute.stop_instance",
            "call conductor.get_server",
            "power off",
            "call conductor.report_progress",
            "active/powering-off -> stopped/none",
        ]


async def test_a_stop_that_comes_again_after_the_next_start_stops_nothing(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        (server,) = await world.boot()
        ordered = await world.order(server, "stop", settle=False)
        await world.settled(server.id)
        await world.order(server, "start")

        await world.cast_order(ordered, "stop")
        await world.quiet()

        assert (await world.server(server.id)).status == "ACTIVE"
        assert await world.drivers[server.host or ""].power(server.id) == Power.RUNNING


async def test_a_guest_that_ignores_the_power_button_is_stopped_all_the_same(tmp_path: Path) -> None:
    config = settings(compute=Compute(virt="fake", host="c", stop_timeout=0.2))
    async with cloud(tmp_path, config, answers_power_button=False) as world:
        (server,) = await world.boot()

        assert (await world.order(server, "stop")).status == "SHUTOFF"


async def test_a_start_that_fails_leaves_the_server_stopped_and_its_task_in_error(tmp_path: Path) -> None:
    async with cloud(tmp_path, before=Broken("power_on", times=1)) as world:
        (server,) = await world.boot()
        await world.order(server, "stop")

        failed = await world.order(server, "start")

        assert (failed.vm, failed.power) == (Vm.STOPPED, Power.SHUTDOWN)
        (task, *_) = await world.servers.actions(server.id)
        assert (task.action, task.state) == ("start", "error")
        assert task.message is not None
        assert task.message.endswith("the hypervisor is broken")
        assert (await world.order(server, "start")).status == "ACTIVE"
