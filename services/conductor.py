"""nova-conductor: the compute hosts' hand in the database, and the home of recovery.

Every handler is one transaction of novaflow.db.servers, fenced by the task and the host that report, so a report may come
twice or late. Where something must be ordered as well, it is recorded first: a conductor that dies in between leaves a
running task, and recovery orders it again.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from novaflow.config import Config
from novaflow.db.hosts import Hosts
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.messages import (
    ALLOCATE_NETWORK,
    BUILD_INSTANCES,
    CONDUCTOR,
    GET_SERVER,
    HEARTBEAT,
    HOST_STARTED,
    LIST_HOST_SERVERS,
    REPORT_FAILURE,
    REPORT_POWER,
    REPORT_PROGRESS,
    START_BUILD,
    Allocated,
    BuildInstance,
    Failure,
    Heartbeat,
    HostAsk,
    HostServers,
    HostStarted,
    NewState,
    Nothing,
    Progress,
    TaskStep,
)
from novaflow.models import BuildPlan, Fault, Server
from novaflow.states import Event, State
from rpc.bus import Bus
from services.beats import beat
from services.power_sync import PowerSync
from services.recovery import Recovery
from services.runtime import Runtime
from services.transitions import traced

BINARY: Final = "nova-conductor"
log = logging.getLogger(__name__)


class Conductor:
    """Answers to the compute hosts."""

    def __init__(self, bus: Bus, servers: Servers, hosts: Hosts, recovery: Recovery, config: Config) -> None:
        self._bus = bus
        self._servers = servers
        self._hosts = hosts
        self._recovery = recovery
        self._config = config

    async def start_build(self, ask: TaskStep) -> BuildPlan:
        """The worker takes the build up; from here on the host is the only one that may report on it.

        One that was taken up too often without an end is given up: BuildGivenUp.
        """
        attempts = self._config.conductor.task_attempts
        return await self._servers.start_build(ask.server_id, ask.task_id, ask.host, at_most=attempts)

    async def allocate_network(self, ask: TaskStep) -> Allocated:
        """The server's addresses; the same ones when asked again."""
        network = self._config.network
        return Allocated(addresses=await self._servers.allocate_network(ask.server_id, ask.task_id, ask.host, network))

    async def get_server(self, ask: TaskStep) -> Server:
        """The server, if this task still owns it on this host; else TaskSuperseded."""
        return await self._servers.owned(ask.server_id, ask.task_id, ask.host)

    async def report_progress(self, ask: Progress) -> NewState:
        """A step along the state table, or a few at once."""
        state = await self._servers.advance(
            ask.server_id, ask.task_id, ask.event, host=ask.host, power=ask.power, then=ask.then
        )
        return _told(state)

    async def report_failure(self, ask: Failure) -> NewState:
        """A build that may be retried goes back to the scheduler; anything else ends with its fault."""
        if ask.build is None:
            return await self._end(ask, Event.FAILED, ask.fault)
        if not ask.may_retry:
            return await self._end(ask, Event.BUILD_FAILED, ask.fault)
        if ask.build.attempt >= self._config.scheduler.max_attempts:
            return await self._end(ask, Event.BUILD_FAILED, _exhausted(ask.build, ask.fault))
        state = await self._servers.advance(
            ask.server_id, ask.task_id, Event.RESCHEDULED, host=ask.host, fault=ask.fault
        )
        again = msgspec.structs.replace(
            ask.build, attempt=ask.build.attempt + 1, tried=(*ask.build.tried, ask.host), last_failure=ask.fault.message
        )
        await self._bus.cast(BUILD_INSTANCES, again)
        return _told(state)

    async def _end(self, ask: Failure, event: Event, fault: Fault) -> NewState:
        return _told(
            await self._servers.advance(ask.server_id, ask.task_id, event, host=ask.host, power=ask.power, fault=fault)
        )

    async def host_started(self, ask: HostStarted) -> HostServers:
        """Register the host, order its interrupted tasks again, and tell it which servers are its own."""
        await self._hosts.started(ask.host, ask.resources, ask.availability_zone)
        await self._recovery.host_started(ask.host)
        return await self.list_host_servers(HostAsk(host=ask.host))

    async def list_host_servers(self, ask: HostAsk) -> HostServers:
        """What the database places on this host now."""
        return HostServers(servers=tuple(await self._servers.on_host(ask.host)))

    async def heartbeat(self, ask: Heartbeat) -> Nothing:
        """The host lives, and so do the tasks it works on."""
        await self._hosts.heartbeat(ask.host, ask.resources)
        if ask.running:
            await self._servers.renew(ask.running)
        return Nothing()

    def serve(self, bus: Bus, power: PowerSync) -> None:
        """Everything the conductor answers to, in one place."""
        bus.on_call(START_BUILD, self.start_build)
        bus.on_call(ALLOCATE_NETWORK, self.allocate_network)
        bus.on_call(GET_SERVER, self.get_server)
        bus.on_call(REPORT_PROGRESS, self.report_progress)
        bus.on_call(REPORT_FAILURE, self.report_failure)
        bus.on_call(HOST_STARTED, self.host_started)
        bus.on_call(LIST_HOST_SERVERS, self.list_host_servers)
        bus.on_call(HEARTBEAT, self.heartbeat)
        bus.on_cast(REPORT_POWER, power.report_power)


def _told(state: State) -> NewState:
    return NewState(vm=state.vm, task=state.task)


def _exhausted(build: BuildInstance, last: Fault) -> Fault:
    """Nova's words (MaxRetriesExceeded) when the last host that was allowed has failed too."""
    said = (
        f"Exceeded maximum number of retries. Exceeded max scheduling attempts {build.attempt} "
        f"for instance {build.server_id}. Last exception: {last.message}"
    )
    return msgspec.structs.replace(last, code=500, message=said)


@asynccontextmanager
async def conductor(runtime: Runtime) -> AsyncIterator[None]:
    """Serve the `conductor` topic, and look after interrupted tasks, until the block ends."""
    config, clock = runtime.config, runtime.clock
    database = await runtime.database()
    tracer = runtime.tracer(BINARY)
    servers = Servers(database, clock, traced(tracer))
    hosts = Hosts(database, clock)
    bus = await runtime.bus(BINARY)
    recovery = Recovery(bus, servers, hosts, config, clock, tracer)
    Conductor(bus, servers, hosts, recovery, config).serve(bus, PowerSync(bus, servers))
    await bus.serve(CONDUCTOR)
    loops = [
        runtime.spawn(
            beat(Services(database, clock), BINARY, config.compute.heartbeat_interval, clock), "conductor beats"
        ),
        runtime.spawn(recovery.run(), "recovery"),
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await bus.close()
