"""nova-scheduler: finds a build a host, claims the room there, and orders the build. Moves are in services.move_placing.

What stays true, wherever the process dies and however often a message comes:

- The claim and the server's host are one transaction, fenced by the task: a build has at most one host.
- The claim is recorded before the order is sent. A build that was claimed and not ordered is found with its host when the
  message comes again (or when recovery orders it again), and only the order is repeated.
- No fitting host is an outcome, not a failure: it is recorded on the server, with every host's reason.
"""

import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from novaflow.config import Scheduler as Settings
from novaflow.db.companions import ReadCompanions
from novaflow.db.database import Database
from novaflow.db.host_changes import HostChanges
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.errors import Invalid, NotFound, NoValidHost, ServiceUnavailable, TaskSuperseded
from novaflow.messages import (
    BUILD_AND_RUN_INSTANCE,
    BUILD_INSTANCES,
    MOST_DESTINATIONS,
    MOVE_SERVER,
    SCHEDULER,
    SELECT_DESTINATIONS,
    BuildInstance,
    Destinations,
    DestinationsAsk,
    MoveServer,
)
from novaflow.placement.choose import fault_of
from novaflow.placement.filters import canonical
from novaflow.states import Event
from rpc.bus import Bus
from rpc.errors import Away, Unroutable
from services.beats import beat
from services.host_states import HostStates
from services.move_placing import MovePlacing
from services.notifications import telling
from services.placer import Placer
from services.runtime import Runtime
from services.transitions import traced

BINARY: Final = "nova-scheduler"
CLAIMS: Final = 20  # hosts that may refuse one build's claim before it gives up
log = logging.getLogger(__name__)


class DatabaseAway(Away):
    """Nothing can be decided or recorded now: the message must come again, which an expected error would not make it."""


class Scheduler:
    """Answers to `build_instances`, `move_server` and `select_destinations`."""

    def __init__(self, bus: Bus, servers: Servers, placer: Placer, moves: MovePlacing) -> None:
        self._bus = bus
        self._servers = servers
        self._placer = placer
        self._moves = moves

    async def build_instances(self, ask: BuildInstance) -> None:
        """Choose a host, record it, order the build there. A build that is no longer wanted is dropped."""
        try:
            try:
                await self._place(ask)
            except NoValidHost as error:
                await self._give_up(ask, error)
        except (TaskSuperseded, NotFound):
            log.info("server %s is no longer built by task %s", ask.server_id, ask.task_id)
        except ServiceUnavailable as error:
            raise DatabaseAway(str(error)) from error

    async def move_server(self, ask: MoveServer) -> None:
        """Find a server that moves its host; see services.move_placing. A move that is no longer wanted is dropped."""
        try:
            await self._moves.move(ask)
        except (TaskSuperseded, NotFound):
            log.info("server %s is no longer moved by task %s", ask.server_id, ask.task_id)
        except ServiceUnavailable as error:
            raise DatabaseAway(str(error)) from error

    async def select_destinations(self, ask: DestinationsAsk) -> Destinations:
        """Where these servers would go now. Nothing is claimed, so it may be another host when they are built.

        Raises NoValidHost with every host's reason when not all of them fit, Invalid for a number that cannot be.
        """
        if not 1 <= ask.num_instances <= MOST_DESTINATIONS:
            raise Invalid(reason=f"num_instances: {ask.num_instances} is not between 1 and {MOST_DESTINATIONS}")
        spec = msgspec.structs.replace(ask.spec, ignore_hosts=(*ask.spec.ignore_hosts, *ask.ignore_hosts))
        chosen = await self._placer.several(spec, ask.num_instances)
        return Destinations(hosts=tuple(host.name for host in chosen))

    async def _place(self, ask: BuildInstance) -> None:
        refused: dict[str, str] = {}
        for _ in range(CLAIMS):
            host = await self._claimed(ask, refused)
            if host is None:
                continue
            try:
                await self._bus.cast(BUILD_AND_RUN_INSTANCE.at(host), ask)
            except Unroutable:
                refused[host] = "compute: no queue takes its messages"
                await self._servers.advance(ask.server_id, ask.task_id, Event.RESCHEDULED, host=host)
            else:
                return
        raise NoValidHost(refusals=refused)

    async def _claimed(self, ask: BuildInstance, refused: dict[str, str]) -> str | None:
        """The host that has this build now; None, and one more refusal, when the chosen one did not take it after all."""

        async def claim(host: str, ratios: Settings) -> bool:
            return await self._servers.claim(ask.server_id, ask.task_id, host, ask.spec, ratios)

        try:
            return await self._placer.claimed(ask.spec, ask.server_id, ask.tried, refused, claim)
        except TaskSuperseded:
            return await self._earlier_host(ask)

    async def _earlier_host(self, ask: BuildInstance) -> str:
        """Where an earlier run of the same order has put the server; raises TaskSuperseded when it is another task's."""
        server = await self._servers.get(ask.server_id)
        if server.task_id != ask.task_id or server.host is None:
            raise TaskSuperseded(server_id=ask.server_id, task_id=ask.task_id)
        return server.host

    async def _give_up(self, ask: BuildInstance, error: NoValidHost) -> None:
        """Record that no host was found, unless an earlier run of the same order took the last room: then go on with that."""
        try:
            await self._servers.advance(
                ask.server_id,
                ask.task_id,
                Event.BUILD_FAILED,
                fault=fault_of(error, ask.last_failure),
                is_unplaced=True,
            )
        except TaskSuperseded:
            host = await self._earlier_host(ask)
            await self._bus.cast(BUILD_AND_RUN_INSTANCE.at(host), ask)


@asynccontextmanager
async def scheduler(runtime: Runtime) -> AsyncIterator[None]:
    """Serve the `scheduler` topic until the block ends; raises Invalid for a filter that does not exist."""
    settings = canonical(runtime.config.scheduler)
    database, tracer = await runtime.database(), runtime.tracer(BINARY)
    bus = await runtime.bus(BINARY)
    async with telling(runtime, bus, database, traced(tracer)) as tell:
        servers = Servers(database, runtime.clock, tell)
        async with _serving(runtime, bus, database, servers, settings):
            yield


@asynccontextmanager
async def _serving(
    runtime: Runtime, bus: Bus, database: Database, servers: Servers, settings: Settings
) -> AsyncIterator[None]:
    clock, tracer = runtime.clock, runtime.tracer(BINARY)
    config = msgspec.structs.replace(runtime.config, scheduler=settings)
    dice = random.Random()  # noqa: S311  breaks ties, guards nothing
    states = HostStates(HostChanges(database), settings, clock, config.compute.service_down_time, dice)
    placer = Placer(states, ReadCompanions(database), settings, tracer, dice)
    moves = MovePlacing(bus, servers, placer, same_host=config.compute.allow_resize_to_same_host)
    serving = Scheduler(bus, servers, placer, moves)
    bus.on_cast(BUILD_INSTANCES, serving.build_instances)
    bus.on_cast(MOVE_SERVER, serving.move_server)
    bus.on_call(SELECT_DESTINATIONS, serving.select_destinations)
    await bus.serve(SCHEDULER)
    beats = beat(Services(database, clock), BINARY, config.compute.heartbeat_interval, clock)
    beating = runtime.spawn(beats, "scheduler beats")
    try:
        yield
    finally:
        beating.cancel()
        await bus.close()
