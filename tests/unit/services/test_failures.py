"""What becomes of a move whose worker failed, also when it says so twice."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from novaflow.db import accompaniments
from novaflow.db.moving import EVACUATION, LIVE, RESIZE
from novaflow.errors import TaskSuperseded
from novaflow.messages import BUILD_INSTANCES, MOVE_SERVER, SCHEDULER, BuildInstance, Failure, MoveServer
from novaflow.models import Fault, Flavor, Server
from novaflow.states import Event, Power, Vm
from services.failures import Failures
from tests.support.cloud import TINY, USER, Cloud, bus_on, cloud
from tests.support.hosts import Heard, listening
from tests.support.moves import PLENTY, exact, message, statuses, taken, used

BROKEN = Fault(code=500, message="it is broken")
WIDE = Flavor(id="2", name="m1.wide", vcpus=2, ram_mb=256, disk_gb=1)
BUILDING = (Event.BUILD_STARTED, Event.NETWORK_WANTED, Event.DEVICES_WANTED, Event.SPAWN_STARTED, Event.SPAWNED)
EVENTS = {
    RESIZE: Event.RESIZE_ORDERED,
    LIVE: Event.LIVE_MIGRATION_ORDERED,
    EVACUATION: Event.EVACUATE_ORDERED,
}


class World:
    """One server that moves from a to b, and what is ordered of whom."""

    def __init__(self, cloud: Cloud, heard: Heard) -> None:
        self.cloud = cloud
        self.failures = Failures(cloud.bus, cloud.servers, cloud.config.scheduler)
        self.heard = heard
        self.moves: list[MoveServer] = []
        self.server_id = self.task_id = ""

    @property
    def orders(self) -> list[tuple[str, str]]:
        """Host and method of each order that a host got."""
        return [(host, method) for host, method, _ in self.heard]

    async def moving(self, kind: str, *happened: Event) -> None:
        """A move was accepted, has room on b, and got this far."""
        server = await self._active()
        accompany = accompaniments.of_move(kind, PLENTY, new=WIDE if kind == RESIZE else None)
        ordered = await self.cloud.servers.order(USER, server, kind, EVENTS[kind], accompany=accompany)
        self.server_id, self.task_id = ordered.id, ordered.task_id or ""
        assert await self.cloud.servers.claim_move(self.server_id, self.task_id, "b", self.cloud.config.scheduler)
        for event in happened:
            await self.cloud.servers.advance(self.server_id, self.task_id, event)

    async def fail(self, host: str, **more: Any) -> str:
        """The worker on `host` says that it failed."""
        who: dict[str, Any] = {"server_id": self.server_id, "task_id": self.task_id, "host": host}
        state = await self.failures.report(Failure(context=USER, fault=BROKEN, **who, **more))
        await self.cloud.quiet()
        return str(state)

    async def ask(self, attempt: int = 1) -> MoveServer:
        """What the destination was asked."""
        spec = await self.cloud.servers.spec(self.server_id)
        return MoveServer(context=USER, server_id=self.server_id, task_id=self.task_id, spec=spec, attempt=attempt)

    async def now(self) -> Server:
        return await self.cloud.server(self.server_id)

    async def _active(self) -> Server:
        servers = self.cloud.servers
        (server,) = await self.cloud.boot(settle=False)
        task_id, spec = server.task_id or "", await servers.spec(server.id)
        assert await servers.claim(server.id, task_id, "a", spec, self.cloud.config.scheduler)
        for event in BUILDING:
            await servers.advance(server.id, task_id, event, host="a", power=Power.RUNNING)
        return await servers.get(server.id)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two hosts and a scheduler that listen."""
    async with cloud(tmp_path, services=()) as running, listening(running, "a", "b") as heard:
        made = World(running, heard)

        async def move_server(ask: MoveServer) -> None:
            made.moves.append(ask)

        async def build_instances(_: BuildInstance) -> None:
            return

        bus = bus_on(running.broker, running.spans)
        bus.on_cast(MOVE_SERVER, move_server)
        bus.on_cast(BUILD_INSTANCES, build_instances)
        await bus.serve(SCHEDULER)
        yield made
        await exact(running)
        await bus.close()


async def test_a_host_that_cannot_prepare_gives_its_room_back_and_another_one_is_looked_for(world: World) -> None:
    await world.moving(RESIZE)

    assert await world.fail("b", may_retry=True, move=await world.ask()) == "active/resize_prep"

    (again,) = world.moves
    assert (again.attempt, again.tried, again.last_failure) == (2, ("b",), "it is broken")
    assert await used(world.cloud, "b") == taken()


async def test_after_the_last_attempt_the_server_is_as_it_was(world: World) -> None:
    await world.moving(RESIZE)
    last = await world.ask(attempt=world.cloud.config.scheduler.max_attempts)

    assert await world.fail("b", may_retry=True, move=last) == "active/none"

    assert world.moves == []
    assert (await message(world.cloud, last.server_id)).endswith("Last exception: it is broken")
    assert (await world.now()).power is Power.RUNNING


async def test_a_preparation_that_failed_twice_does_not_end_what_goes_on_elsewhere(world: World) -> None:
    await world.moving(RESIZE, Event.RESIZE_MIGRATING, Event.RESIZE_MIGRATED)
    await world.cloud.servers.advance(world.server_id, world.task_id, Event.RESIZE_FINISHING)

    with pytest.raises(TaskSuperseded):
        await world.fail("c", may_retry=True, move=await world.ask())

    assert str((await world.now()).state) == "active/resize_finish"


@pytest.mark.parametrize("host", ["a", "b"])
async def test_a_resize_that_either_host_cannot_go_on_with_is_rolled_back(world: World, host: str) -> None:
    await world.moving(RESIZE, Event.RESIZE_MIGRATING, Event.RESIZE_MIGRATED)

    for _ in range(2):
        assert await world.fail(host, power=Power.NOSTATE) == "active/resize_migrating"

    assert set(world.orders) == {("a", "roll_back_resize")}
    now = await world.now()
    assert (now.host, now.flavor, now.power) == ("a", TINY, Power.RUNNING)
    assert await used(world.cloud, "b") == taken()


async def test_once_the_guest_is_put_back_the_move_is_over_and_says_why_it_failed(world: World) -> None:
    await world.moving(RESIZE, Event.RESIZE_MIGRATING, Event.RESIZE_MIGRATED)
    await world.fail("b")

    assert await world.fail("a", is_undone=True, power=Power.RUNNING) == "active/none"

    assert await message(world.cloud, world.server_id) == "it is broken"
    assert await statuses(world.cloud, world.server_id) == ["error"]


async def test_a_guest_that_cannot_be_put_back_is_an_error(world: World) -> None:
    await world.moving(RESIZE, Event.RESIZE_MIGRATING)

    assert await world.fail("a", is_broken=True) == "error/none"
    assert (await world.now()).host == "a"


async def test_a_live_migration_that_failed_leaves_the_destination_to_be_cleared(world: World) -> None:
    await world.moving(LIVE)

    assert await world.fail("a", power=Power.RUNNING) == "active/none"

    assert world.orders == [("b", "rollback_live_migration_at_destination")]
    assert ((await world.now()).host, await used(world.cloud, "b")) == ("a", taken())


async def test_an_evacuation_that_failed_is_an_error_on_the_dead_host(world: World) -> None:
    await world.moving(EVACUATION, Event.EVACUATION_PLACED)

    assert await world.fail("b") == "error/none"

    now = await world.now()
    assert (now.vm, now.host) == (Vm.ERROR, "a")
    assert await used(world.cloud, "b") == taken()


async def test_whoever_has_no_part_in_the_move_cannot_end_it(world: World) -> None:
    await world.moving(LIVE)

    with pytest.raises(TaskSuperseded):
        await world.fail("c")

    assert str((await world.now()).state) == "active/migrating"
