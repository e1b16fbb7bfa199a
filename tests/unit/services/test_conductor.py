"""The conductor: what it answers, records and orders when hosts report."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from novaflow.clock import SystemClock
from novaflow.config import Conductor as Lease
from novaflow.db.services import Services
from novaflow.errors import BuildGivenUp, TaskSuperseded
from novaflow.messages import (
    ALLOCATE_NETWORK,
    GET_SERVER,
    HEARTBEAT,
    HOST_STARTED,
    LIST_HOST_SERVERS,
    REPORT_FAILURE,
    REPORT_POWER,
    REPORT_PROGRESS,
    START_BUILD,
    BuildInstance,
    Failure,
    Heartbeat,
    HostAsk,
    HostStarted,
    PowerReport,
    Progress,
    ServerOrder,
    TaskStep,
)
from novaflow.models import Fault, Server
from novaflow.states import Event, Power, Task, Vm
from tests.support.cloud import USER, Cloud, cloud, settings
from tests.support.hosts import RESOURCES, Heard, listening, scheduled

LONG = settings(conductor=Lease(task_lease=60.0, recovery_interval=60.0))
BROKEN = Fault(code=500, message="it is broken")


class World:
    """A conductor, two hosts that listen, and a scheduler that does."""

    def __init__(self, cloud: Cloud, heard: Heard, builds: list[BuildInstance]) -> None:
        self.cloud = cloud
        self.heard = heard
        self.builds = builds

    async def placed(self, host: str = "c1") -> tuple[Server, dict[str, str]]:
        """A server claimed on a host, and the fence of its build there."""
        (server,) = await self.cloud.boot(settle=False)
        await self.cloud.quiet()
        self.builds.clear()
        assert server.task_id
        spec = await self.cloud.servers.spec(server.id)
        assert await self.cloud.servers.claim(server.id, server.task_id, host, spec, self.cloud.config.scheduler)
        return server, {"server_id": server.id, "task_id": server.task_id, "host": host}

    async def active(self) -> tuple[Server, dict[str, str]]:
        """A server that was built on c1."""
        server, fence = await self.placed()
        await self.cloud.bus.call(START_BUILD, TaskStep(**fence))
        await self.cloud.bus.call(ALLOCATE_NETWORK, TaskStep(**fence))
        for event in (Event.DEVICES_WANTED, Event.SPAWN_STARTED):
            await self.report(fence, event)
        await self.report(fence, Event.SPAWNED, Power.RUNNING)
        return await self.cloud.server(server.id), fence

    async def report(self, fence: dict[str, Any], event: Event, power: Power | None = None) -> tuple[Vm, Task]:
        state = await self.cloud.bus.call(REPORT_PROGRESS, Progress(**fence, event=event, power=power))
        return state.vm, state.task

    async def fail(self, fence: dict[str, Any], **more: Any) -> tuple[Vm, Task]:
        state = await self.cloud.bus.call(REPORT_FAILURE, Failure(**fence, context=USER, fault=BROKEN, **more))
        return state.vm, state.task

    async def build(self, server: Server, **more: Any) -> BuildInstance:
        spec = await self.cloud.servers.spec(server.id)
        return BuildInstance(context=USER, server_id=server.id, task_id=server.task_id or "", spec=spec, **more)

    async def tell_power(self, server: Server, power: Power, **more: Any) -> None:
        told = {"seen_at": SystemClock().now(), **more}
        await self.cloud.bus.cast(REPORT_POWER, PowerReport(host="c1", server_id=server.id, power=power, **told))
        await self.cloud.quiet()


@asynccontextmanager
async def conducted(directory: Path) -> AsyncIterator[World]:
    async with (
        cloud(directory, LONG, services=["conductor"]) as world,
        listening(world, "c1", "c2") as heard,
        scheduled(world) as (_, builds),
    ):
        yield World(world, heard, builds)


async def test_the_plan_of_a_build_has_what_the_host_needs_and_the_addresses_stay_the_same(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, fence = await world.placed()

        plan = await world.cloud.bus.call(START_BUILD, TaskStep(**fence))
        first = await world.cloud.bus.call(ALLOCATE_NETWORK, TaskStep(**fence))
        again = await world.cloud.bus.call(ALLOCATE_NETWORK, TaskStep(**fence))

        assert (plan.server.id, plan.server.host, plan.server.task) == (server.id, "c1", Task.IDLE)
        assert first == again
        assert (await world.cloud.server(server.id)).addresses == first.addresses


async def test_a_build_that_is_taken_up_again_and_again_without_an_end_is_given_up(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, fence = await world.placed()
        for _ in range(world.cloud.config.conductor.task_attempts):
            await world.cloud.bus.call(START_BUILD, TaskStep(**fence))

        with pytest.raises(BuildGivenUp, match="was started 5 times on host c1 and never finished"):
            await world.cloud.bus.call(START_BUILD, TaskStep(**fence))
        with pytest.raises(TaskSuperseded):
            await world.cloud.bus.call(START_BUILD, TaskStep(**fence))

        failed = await world.cloud.server(server.id)
        assert (failed.vm, failed.host, failed.task_id) == (Vm.ERROR, None, None)
        assert failed.fault is not None
        assert failed.fault.message == (
            f"The build of server {server.id} was started 5 times on host c1 and never finished."
        )
        assert sum(host.servers for host in await world.cloud.all_hosts()) == 0


@pytest.mark.parametrize("procedure", [START_BUILD, ALLOCATE_NETWORK, GET_SERVER], ids=lambda asked: asked.method)
async def test_a_worker_on_another_host_is_told_to_stop(tmp_path: Path, procedure: Any) -> None:
    async with conducted(tmp_path) as world:
        _, fence = await world.placed("c1")

        with pytest.raises(TaskSuperseded):
            await world.cloud.bus.call(procedure, TaskStep(**{**fence, "host": "c2"}))


async def test_a_failed_build_goes_back_to_the_scheduler_with_what_was_tried(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, fence = await world.placed()
        await world.cloud.bus.call(START_BUILD, TaskStep(**fence))

        state = await world.fail(fence, may_retry=True, build=await world.build(server, tried=("c0",)))
        await world.cloud.quiet()

        assert state == (Vm.BUILDING, Task.SCHEDULING)
        assert [(build.attempt, build.tried) for build in world.builds] == [(2, ("c0", "c1"))]
        assert (await world.cloud.server(server.id)).host is None
        assert [host.servers for host in await world.cloud.all_hosts()] == [0, 0]


async def test_a_build_that_must_not_be_retried_ends_with_its_fault(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, fence = await world.placed()

        assert await world.fail(fence, build=await world.build(server)) == (Vm.ERROR, Task.IDLE)

        failed = await world.cloud.server(server.id)
        assert failed.fault is not None
        assert failed.fault.message == "it is broken"
        assert world.builds == []


async def test_the_last_attempt_ends_in_novas_words(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, fence = await world.placed()

        await world.fail(fence, may_retry=True, build=await world.build(server, attempt=3))

        failed = await world.cloud.server(server.id)
        assert failed.fault is not None
        assert failed.fault.message == (
            "Exceeded maximum number of retries. Exceeded max scheduling attempts 3 "
            f"for instance {server.id}. Last exception: it is broken"
        )


async def test_a_failure_told_again_after_the_build_moved_on_changes_nothing(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, fence = await world.placed()
        build = await world.build(server)
        await world.fail(fence, may_retry=True, build=build)
        spec, ratios = await world.cloud.servers.spec(server.id), world.cloud.config.scheduler
        assert await world.cloud.servers.claim(server.id, fence["task_id"], "c2", spec, ratios)
        await world.cloud.bus.call(START_BUILD, TaskStep(**{**fence, "host": "c2"}))

        await world.fail(fence, may_retry=True, build=build)

        now = await world.cloud.server(server.id)
        assert (now.host, now.vm, now.task) == ("c2", Vm.BUILDING, Task.IDLE)


async def test_an_action_that_failed_leaves_the_server_settled(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, _ = await world.active()
        ordered = await world.cloud.servers.order(USER, server, "stop", Event.STOP_ORDERED)
        fence = {"server_id": server.id, "task_id": ordered.task_id or "", "host": "c1"}

        assert await world.fail(fence, power=Power.RUNNING) == (Vm.ACTIVE, Task.IDLE)


async def test_a_host_that_starts_is_told_its_servers_and_given_its_interrupted_work_again(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        idle, _ = await world.active()
        busy, fence = await world.placed()

        report = HostStarted(host="c1", resources=RESOURCES, availability_zone="nova")
        answer = await world.cloud.bus.call(HOST_STARTED, report)
        await world.cloud.quiet()

        assert {server.id for server in answer.servers} == {idle.id, busy.id}
        assert answer == await world.cloud.bus.call(LIST_HOST_SERVERS, HostAsk(host="c1"))
        ((host, method, order),) = world.heard
        assert (host, method, order.server_id, order.task_id) == ("c1", "build", busy.id, fence["task_id"])
        assert order.context.token == ""


async def test_a_heartbeat_keeps_host_and_tasks_alive(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        _, fence = await world.placed()
        before = SystemClock().now()

        await world.cloud.bus.call(HEARTBEAT, Heartbeat(host="c1", resources=RESOURCES, running=(fence["task_id"],)))

        assert await world.cloud.servers.stale_tasks(before, 10) == []
        assert len(await world.cloud.servers.stale_tasks(SystemClock().now(), 10)) == 1


async def test_a_guest_that_went_down_has_its_server_stopped_by_an_ordinary_stop(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        server, _ = await world.active()

        await world.tell_power(server, Power.SHUTDOWN)

        ((host, method, order),) = world.heard
        assert (host, method, order.server_id) == ("c1", "stop", server.id)
        assert isinstance(order, ServerOrder)
        stopping = await world.cloud.server(server.id)
        assert (stopping.task, stopping.task_id) == (Task.POWERING_OFF, order.task_id)


async def test_a_stop_that_nobody_ordered_when_the_power_was_recorded_is_ordered_at_the_next_report(
    tmp_path: Path,
) -> None:
    async with conducted(tmp_path) as world:
        server, _ = await world.active()
        assert await world.cloud.servers.record_power("c1", server.id, Power.SHUTDOWN)

        await world.tell_power(server, Power.SHUTDOWN)

        assert [(method, order.server_id) for _, method, order in world.heard] == [("stop", server.id)]


@pytest.mark.parametrize("power", [Power.PAUSED, Power.NOSTATE])
async def test_other_power_states_are_only_noted(tmp_path: Path, power: Power) -> None:
    async with conducted(tmp_path) as world:
        server, _ = await world.active()

        await world.tell_power(server, power)

        assert world.heard == []
        assert (await world.cloud.server(server.id)).power == power


async def test_a_report_that_was_overtaken_is_ignored(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        seen_at = SystemClock().now()
        server, _ = await world.active()

        await world.tell_power(server, Power.SHUTDOWN, seen_at=seen_at)

        assert world.heard == []
        assert (await world.cloud.server(server.id)).power == Power.RUNNING


async def test_the_conductor_says_that_it_lives(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        records = Services(world.cloud.database, SystemClock())

        async def is_listed() -> bool:
            found = await records.all(SystemClock().now(), 60.0)
            return "nova-conductor" in [record.binary for record in found if record.is_up]

        await world.cloud.until(is_listed)
