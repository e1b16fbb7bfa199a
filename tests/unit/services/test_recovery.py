"""Recovery: which order an interrupted task is given again, by whom, and when it is given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from novaflow.clock import SystemClock
from novaflow.config import Bus, Conductor, Config
from novaflow.messages import BuildInstance, RebootOrder
from novaflow.models import Server
from novaflow.states import Event, Power, Vm
from rpc.bus import Bus as MessageBus
from rpc.tracing import Tracer
from services.recovery import Recovery
from tests.support.cloud import USER, Cloud, cloud, settings
from tests.support.hosts import Heard, listening, scheduled

AT_ONCE = Conductor(task_lease=0.0, task_attempts=3)
LASTING = msgspec.structs.replace(settings().compute, service_down_time=60.0)  # hosts here say once that they live


@asynccontextmanager
async def recovering(
    directory: Path, *hosts: str, config: Config | None = None
) -> AsyncIterator[tuple[Cloud, Recovery, Heard, list[BuildInstance]]]:
    """A database, hosts and a scheduler that listen, and recovery that regards every task as interrupted."""
    config = config or settings(conductor=AT_ONCE, compute=LASTING)
    async with (
        cloud(directory, config, services=[]) as world,
        listening(world, *hosts) as heard,
        scheduled(world) as (bus, builds),
    ):
        world.bus_is_cut = True
        yield world, recovery_on(world, bus), heard, builds


def recovery_on(world: Cloud, bus: MessageBus) -> Recovery:
    tracer = Tracer("nova-conductor", world.spans)
    return Recovery(bus, world.servers, world.hosts, world.config, SystemClock(), tracer)


async def on_host(world: Cloud, host: str = "c1", *, active: bool = False) -> Server:
    (server,) = await world.boot(settle=False)
    assert server.task_id
    spec = await world.servers.spec(server.id)
    assert await world.servers.claim(server.id, server.task_id, host, spec, world.config.scheduler)
    if active:
        for event in (Event.BUILD_STARTED, Event.NETWORK_WANTED, Event.DEVICES_WANTED, Event.SPAWN_STARTED):
            await world.servers.advance(server.id, server.task_id, event, host=host)
        await world.servers.advance(server.id, server.task_id, Event.SPAWNED, host=host, power=Power.RUNNING)
    return await world.server(server.id)


async def test_a_build_without_a_host_goes_to_the_scheduler_as_it_was_asked_for(tmp_path: Path) -> None:
    async with recovering(tmp_path) as (world, recovery, _, builds):
        (server,) = await world.boot(settle=False, availability_zone="west", force_host="c9")

        assert await recovery.look() == 1
        await world.quiet()

        (build,) = builds
        assert (build.server_id, build.task_id, build.context.token) == (server.id, server.task_id, "")
        assert build.context.request_id == USER.request_id
        assert (build.spec.availability_zone, build.spec.force_host) == ("west", "c9")


async def test_the_trace_of_the_request_shows_who_went_on_with_it(tmp_path: Path) -> None:
    async with recovering(tmp_path) as (world, recovery, _, _builds):
        (server,) = await world.boot(settle=False)

        await recovery.look()

        (hop,) = [span for span in world.spans.all if span.name == "take up create"]
        assert hop.trace_id == USER.request_id.removeprefix("req-").replace("-", "")
        assert hop.attributes["server_id"] == server.id


async def test_a_build_with_a_host_that_lives_goes_to_that_host(tmp_path: Path) -> None:
    async with recovering(tmp_path, "c1") as (world, recovery, heard, _):
        server = await on_host(world)

        await recovery.look()
        await world.quiet()

        assert [(host, method, order.server_id) for host, method, order in heard] == [("c1", "build", server.id)]


async def test_a_build_with_a_host_that_is_down_leaves_it_and_is_scheduled_again(tmp_path: Path) -> None:
    config = settings(conductor=AT_ONCE, compute=msgspec.structs.replace(settings().compute, service_down_time=0.0))
    async with recovering(tmp_path, "c1", config=config) as (world, recovery, heard, builds):
        server = await on_host(world)

        await recovery.look()
        await world.quiet()

        assert ([build.tried for build in builds], heard) == ([("c1",)], [])
        assert (await world.server(server.id)).host is None
        assert [host.servers for host in await world.all_hosts()] == [0]


@pytest.mark.parametrize(
    ("action", "event"),
    [
        ("stop", Event.STOP_ORDERED),
        ("delete", Event.DELETE_ORDERED),
        ("reboot", Event.REBOOT_ORDERED),
        ("reboot", Event.HARD_REBOOT_ORDERED),
    ],
)
async def test_an_action_goes_to_its_host_again(tmp_path: Path, action: str, event: Event) -> None:
    async with recovering(tmp_path, "c1") as (world, recovery, heard, _):
        server = await on_host(world, active=True)
        ordered = await world.servers.order(USER, server, action, event)

        await recovery.look()
        await world.quiet()

        ((host, method, order),) = heard
        assert (host, method, order.task_id) == ("c1", {"delete": "terminate"}.get(action, action), ordered.task_id)
        assert not isinstance(order, RebootOrder) or order.hard is (event is Event.HARD_REBOOT_ORDERED)


async def test_of_several_conductors_one_takes_a_task_up(tmp_path: Path) -> None:
    async with recovering(tmp_path) as (world, recovery, _, builds):
        await world.boot(5, settle=False)
        other = recovery_on(world, world.bus)

        taken = await asyncio.gather(recovery.look(), other.look())
        await world.quiet()

        assert sum(taken) == len(builds) == 5


async def test_a_task_is_given_up_after_its_attempts_and_the_fault_says_why(tmp_path: Path) -> None:
    async with recovering(tmp_path, "c1") as (world, recovery, heard, _):
        server = await on_host(world)

        for _ in range(3):
            await recovery.look()
        await world.quiet()

        failed = await world.server(server.id)
        assert len(heard) == 2
        assert (failed.vm, failed.host) == (Vm.ERROR, None)
        assert failed.fault is not None
        assert failed.fault.message == "The create was ordered 3 times: host c1 did not finish it."


async def test_one_task_that_cannot_be_ordered_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    async with recovering(tmp_path, "c1") as (world, recovery, heard, _):
        lost = await on_host(world, active=True)
        await world.servers.order(USER, lost, "stop", Event.STOP_ORDERED)
        server = await on_host(world)
        await world.hosts.started("c2", (await world.all_hosts())[0].resources, "nova")
        elsewhere = await on_host(world, "c2")

        assert await recovery.look() == 3
        await world.quiet()

        assert {order.server_id for _, _, order in heard} == {lost.id, server.id}
        assert (await world.server(elsewhere.id)).vm is Vm.BUILDING


async def test_in_icehouse_delivery_a_host_that_restarts_gives_up_its_builds(tmp_path: Path) -> None:
    config = settings(conductor=AT_ONCE, bus=Bus(delivery="icehouse"))
    async with recovering(tmp_path, "c1", config=config) as (world, recovery, heard, _):
        server = await on_host(world)

        await recovery.host_started("c1")

        failed = await world.server(server.id)
        assert heard == []
        assert failed.vm is Vm.ERROR
        assert failed.fault is not None
        assert failed.fault.message == "The build was interrupted by a restart of host c1."
