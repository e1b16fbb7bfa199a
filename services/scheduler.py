"""nova-scheduler: finds a build a host, claims the room there, and orders the build.

What stays true, wherever the process dies and however often a message comes:

- The claim and the server's host are one transaction, fenced by the task: a build has at most one host.
- The claim is recorded before the order is sent. A build that was claimed and not ordered is found with its host when the
  message comes again (or when recovery orders it again), and only the order is repeated.
- No fitting host is an outcome, not a failure: it is recorded on the server, with every host's reason.
"""

import logging
import random
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final

from novaflow.config import Config
from novaflow.db.hosts import Hosts
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.errors import Invalid, NotFound, NoValidHost, ServiceUnavailable, TaskSuperseded
from novaflow.messages import (
    BUILD_AND_RUN_INSTANCE,
    BUILD_INSTANCES,
    MOST_DESTINATIONS,
    SCHEDULER,
    SELECT_DESTINATIONS,
    BuildInstance,
    Destinations,
    DestinationsAsk,
)
from novaflow.placement.choose import choose, fault_of
from novaflow.placement.filters import named
from novaflow.placement.several import choose_several
from novaflow.states import Event
from rpc.bus import Bus
from rpc.errors import Away, Unroutable
from rpc.tracing import Span, Tracer
from services.beats import beat
from services.host_states import HostStates
from services.runtime import Runtime
from services.transitions import traced

BINARY: Final = "nova-scheduler"
CLAIMS: Final = 20  # hosts that may refuse one build's claim before it gives up
log = logging.getLogger(__name__)


class DatabaseAway(Away):
    """Nothing can be decided or recorded now: the message must come again, which an expected error would not make it."""


class Scheduler:
    """Answers to `build_instances` and `select_destinations`."""

    def __init__(
        self, bus: Bus, servers: Servers, states: HostStates, config: Config, tracer: Tracer, dice: random.Random
    ) -> None:
        self._bus = bus
        self._servers = servers
        self._states = states
        self._settings = config.scheduler
        self._tracer = tracer
        self._dice = dice

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

    async def select_destinations(self, ask: DestinationsAsk) -> Destinations:
        """Where these servers would go now. Nothing is claimed, so it may be another host when they are built.

        Raises NoValidHost with every host's reason when not all of them fit, Invalid for a number that cannot be.
        """
        if not 1 <= ask.num_instances <= MOST_DESTINATIONS:
            raise Invalid(reason=f"num_instances: {ask.num_instances} is not between 1 and {MOST_DESTINATIONS}")
        chosen = choose_several(
            await self._states.fresh(),
            ask.spec,
            ask.num_instances,
            ask.ignore_hosts,
            self._settings,
            promised=self._states.promised,
            dice=self._dice,
        )
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
        """The host that has this build now; None, and one more refusal, when the chosen one has no room after all."""
        hosts = await self._states.fresh()
        with self._tracer.span("step", "filter and weigh hosts", attributes={"server_id": ask.server_id}) as span:
            promised = self._states.promised
            host = choose(
                hosts, ask.spec, ask.tried, self._settings, refused=refused, promised=promised, dice=self._dice
            )
            span.attributes |= {"hosts": len(hosts), "host": host.name}
        try:
            with self._states.promise(host.name, ask.spec.flavor.ram_mb), self._claiming(ask, host.name):
                is_claimed = await self._servers.claim(ask.server_id, ask.task_id, host.name, ask.spec, self._settings)
        except TaskSuperseded:
            return await self._earlier_host(ask)
        if not is_claimed:
            refused[host.name] = "claim: it has not enough room left"
        return host.name if is_claimed else None

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
    named(config.scheduler.filters)
    database = await runtime.database()
    hosts = Hosts(database, clock)
    tracer = runtime.tracer(BINARY)
    servers = Servers(database, clock, traced(tracer))
    states = HostStates(lambda: hosts.all(clock.now(), config.compute.service_down_time))
    bus = await runtime.bus(BINARY)
    dice = random.Random()  # noqa: S311  breaks ties, guards nothing
    serving = Scheduler(bus, servers, states, config, tracer, dice)
    bus.on_cast(BUILD_INSTANCES, serving.build_instances)
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
