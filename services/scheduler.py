"""nova-scheduler: finds a build a host, claims the room there, and orders the build. Moves are in services.move_placing.

What stays true, wherever the process dies and however often a message comes:

- The claim and the server's host are one transaction, fenced by the task: a build has at most one host.
- The claim is recorded before the order is sent. A build that was claimed and not ordered is found with its host when the
  message comes again (or when recovery orders it again), and only the order is repeated.
- No fitting host is an outcome, not a failure: it is recorded on the server, with every host's reason.
"""

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Final

import msgspec

from novaflow.config import Config
from novaflow.db.companions import Companions, ReadCompanions
from novaflow.db.grouping import GroupForbids
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
from novaflow.models import Host, RequestSpec
from novaflow.placement.asking import Ask
from novaflow.placement.choose import choose, choose_several, fault_of
from novaflow.placement.filters import canonical
from novaflow.placement.ranking import Ranking
from novaflow.placement.rules.capacity import ratios_of
from novaflow.states import Event
from rpc.bus import Bus
from rpc.errors import Away, Unroutable
from rpc.tracing import Span, Tracer
from services.beats import beat
from services.host_states import HostStates
from services.move_placing import MovePlacing
from services.runtime import Runtime
from services.transitions import traced

BINARY: Final = "nova-scheduler"
CLAIMS: Final = 20  # hosts that may refuse one build's claim before it gives up
_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
log = logging.getLogger(__name__)


class DatabaseAway(Away):
    """Nothing can be decided or recorded now: the message must come again, which an expected error would not make it."""


class Scheduler:
    """Answers to `build_instances`, `move_server` and `select_destinations`."""

    def __init__(
        self,
        bus: Bus,
        servers: Servers,
        states: HostStates,
        companions: Callable[[RequestSpec, str], Awaitable[Companions]],
        config: Config,
        tracer: Tracer,
        dice: random.Random,
    ) -> None:
        self._bus = bus
        self._servers = servers
        self._states = states
        self._companions = companions
        self._settings = canonical(config.scheduler)
        self._tracer = tracer
        self._dice = dice
        self._moves = MovePlacing(bus, servers, self._chosen, states.promise, config, tracer)

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
        question = await self._ask(spec, "")
        chosen = choose_several(await self._states.fresh(), question, ask.num_instances, self._dice)
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
        host = await self._chosen(ask.spec, ask.server_id, ask.tried, refused)
        ratios = ratios_of(host, self._settings)
        try:
            with self._states.promise(host.name, ask.spec.flavor.ram_mb), self._claiming(ask, host.name):
                is_claimed = await self._servers.claim(ask.server_id, ask.task_id, host.name, ask.spec, ratios)
        except TaskSuperseded:
            return await self._earlier_host(ask)
        except GroupForbids as why:
            refused[host.name] = f"claim: {why}"
            return None
        if not is_claimed:
            refused[host.name] = "claim: it has not enough room left"
        return host.name if is_claimed else None

    async def _chosen(
        self, spec: RequestSpec, server_id: str, tried: Collection[str], refused: Mapping[str, str]
    ) -> Host:
        """The best host for a server like this. `refused` are those that did not take it just now, with what they said.

        Nothing is claimed yet: whoever claims does it under `self._states.promise`. Raises NoValidHost with every host's reason, once
        all that there is was looked at.
        """
        ask = await self._ask(spec, server_id, tried, refused)
        ranking = await self._states.fresh()
        try:
            return self._choose(ranking, ask, server_id)
        except NoValidHost:
            complete = await self._states.complete()
            if complete is None:
                raise
            return self._choose(complete, ask, server_id)

    def _choose(self, ranking: Ranking, ask: Ask, server_id: str) -> Host:
        with self._tracer.span("step", "filter and weigh hosts", attributes={"server_id": server_id}) as span:
            host = choose(ranking, ask, self._dice)
            span.attributes |= {"hosts": len(ranking), "host": host.name}
            return host

    async def _ask(
        self, spec: RequestSpec, server_id: str, tried: Collection[str] = (), refused: Mapping[str, str] = _NOBODY
    ) -> Ask:
        others = await self._companions(spec, server_id)
        return Ask(
            spec=spec,
            tried=frozenset(tried),
            refused=refused,
            group=others.group,
            homes=others.homes,
            settings=self._settings,
        )

    def _claiming(self, ask: BuildInstance, host: str) -> AbstractContextManager[Span]:
        return self._tracer.span("db", "claim room on the host", attributes={"server_id": ask.server_id, "host": host})

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
    config, clock = runtime.config, runtime.clock
    settings = canonical(config.scheduler)
    database = await runtime.database()
    tracer = runtime.tracer(BINARY)
    servers = Servers(database, clock, traced(tracer))
    dice = random.Random()  # noqa: S311  breaks ties, guards nothing
    states = HostStates(HostChanges(database), settings, clock, config.compute.service_down_time, dice)
    bus = await runtime.bus(BINARY)
    serving = Scheduler(bus, servers, states, ReadCompanions(database), config, tracer, dice)
    bus.on_cast(BUILD_INSTANCES, serving.build_instances)
    bus.on_cast(MOVE_SERVER, serving.move_server)
    bus.on_call(SELECT_DESTINATIONS, serving.select_destinations)
    await bus.serve(SCHEDULER)
    beating = runtime.spawn(
        beat(Services(database, clock), BINARY, config.compute.heartbeat_interval, clock), "scheduler beats"
    )
    try:
        yield
    finally:
        beating.cancel()
        await bus.close()
