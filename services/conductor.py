"""nova-conductor: the compute hosts' hand in the database, and the home of recovery.

Every handler is one transaction of novaflow.db.servers, fenced by the task and the host that report, so a report may come
twice or late. Where something must be ordered as well, it is recorded first: a conductor that dies in between leaves a
running task, and recovery orders it again.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from novaflow.config import Config
from novaflow.db.database import Database
from novaflow.db.ec2_ids import Ec2Ids
from novaflow.db.ec2_names import named
from novaflow.db.hosts import Hosts
from novaflow.db.ordered_images import OrderedImages
from novaflow.db.quotas import Quotas
from novaflow.db.servers import Servers
from novaflow.db.services import Services
from novaflow.db.transitions import Transition
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.identity.credentials import read
from novaflow.messages import (
    ALLOCATE_NETWORK,
    CONDUCTOR,
    GET_ASSIGNMENT,
    GET_SERVER,
    GET_TASK,
    HEARTBEAT,
    HOST_STARTED,
    JUDGE_GUESTS,
    LIST_HOST_SERVERS,
    REMOVE_LEFTOVERS,
    REPORT_FAILURE,
    REPORT_LOST_GUEST,
    REPORT_POWER,
    REPORT_PROGRESS,
    START_BUILD,
    Allocated,
    Failure,
    GuestAsk,
    Heartbeat,
    HostAsk,
    HostServers,
    HostStarted,
    JudgeAsk,
    Judged,
    NewState,
    Nothing,
    Progress,
    TaskStep,
)
from novaflow.models import BuildPlan, Server
from novaflow.states import Event, State
from novaflow.tasks import Assignment, Migration, TaskRecord
from rpc.bus import Bus
from rpc.errors import Unroutable
from rpc.tracing import Tracer
from services.auth import IdentityClient, ServiceToken
from services.beats import beat
from services.bookkeeping import Bookkeeper
from services.clients import ImageClient
from services.failures import Failures
from services.image_audit import ImageAudit
from services.notifications import telling
from services.power_sync import PowerSync
from services.recovery import Recovery
from services.runtime import Runtime
from services.timers import Timers
from services.transitions import traced
from services.volume_desk import VolumeDesk

BINARY: Final = "nova-conductor"
_BY_THE_OTHER_HOST: Final = frozenset({Event.CONFIRMED, Event.CONFIRMED_OFF})
"""What the source of a resize reports of a server that is the destination's."""
log = logging.getLogger(__name__)


class Conductor:
    """Answers to the compute hosts."""

    def __init__(
        self,
        bus: Bus,
        servers: Servers,
        hosts: Hosts,
        ids: Ec2Ids,
        recovery: Recovery,
        desk: VolumeDesk,
        config: Config,
    ) -> None:
        self._bus = bus
        self._servers = servers
        self._failures = Failures(bus, servers, config.scheduler)
        self._hosts = hosts
        self._ids = ids
        self._recovery = recovery
        self._desk = desk
        self._config = config

    async def start_build(self, ask: TaskStep) -> BuildPlan:
        """The worker takes the build up; from here on the host is the only one that may report on it.

        One that was taken up too often without an end is given up: BuildGivenUp.
        """
        attempts = self._config.conductor.task_attempts
        plan = await self._servers.start_build(ask.server_id, ask.task_id, ask.host, at_most=attempts)
        return await named(self._ids, plan)

    async def allocate_network(self, ask: TaskStep) -> Allocated:
        """The server's addresses; the same ones when asked again."""
        network = self._config.network
        return Allocated(addresses=await self._servers.allocate_network(ask.server_id, ask.task_id, ask.host, network))

    async def get_server(self, ask: TaskStep) -> Server:
        """The server, if this task still owns it on this host; else TaskSuperseded."""
        return await self._servers.owned(ask.server_id, ask.task_id, ask.host)

    async def get_assignment(self, ask: TaskStep) -> Assignment:
        """The task with all it needs, if it is this host's to carry out; else TaskSuperseded."""
        found = await self._servers.assignment(ask.server_id, ask.task_id, ask.host)
        return msgspec.structs.replace(found, plan=await named(self._ids, found.plan))

    async def get_task(self, ask: TaskStep) -> TaskRecord:
        """What became of a task that this worker heard is over; it may have something to clear up."""
        return await self._servers.task(ask.task_id)

    async def report_progress(self, ask: Progress) -> NewState:
        """A step along the state table, or a few at once."""
        host = None if ask.event in _BY_THE_OTHER_HOST else ask.host
        leaves = await self._servers.migration(ask.server_id) if ask.event is Event.DELETED else None
        state = await self._servers.advance(
            ask.server_id,
            ask.task_id,
            ask.event,
            host=host,
            told_by=ask.host,
            power=ask.power,
            then=ask.then,
            takes_volumes=ask.takes_volumes,
        )
        if leaves is not None:
            await self._clear_up(ask, leaves)
        return _told(state)

    async def _clear_up(self, ask: Progress, move: Migration) -> None:
        """A server that was deleted while it moved has left something on its other host. What this order misses, the audit finds."""
        for host in {move.source_host, move.dest_host} - {ask.host, None}:
            try:
                await self._bus.cast(REMOVE_LEFTOVERS.at(host or ""), GuestAsk(server_id=ask.server_id))
            except Unroutable:
                log.info("server %s: host %s is away and clears up when it is back", ask.server_id, host)

    async def report_failure(self, ask: Failure) -> NewState:
        """A task failed on a host; see services.failures."""
        return _told(await self._failures.report(ask))

    async def host_started(self, ask: HostStarted) -> HostServers:
        """Register the host, order its interrupted tasks again, and tell it which servers are its own."""
        await self._hosts.started(ask.host, ask.resources, ask.availability_zone)
        await self._recovery.host_started(ask.host)
        return await self.list_host_servers(HostAsk(host=ask.host))

    async def list_host_servers(self, ask: HostAsk) -> HostServers:
        """What the database places on this host now."""
        return HostServers(servers=tuple(await self._servers.on_host(ask.host)))

    async def judge_guests(self, ask: JudgeAsk) -> Judged:
        """What each of these servers is to the host that has something of it."""
        return Judged(verdicts=await self._servers.judge(ask.host, ask.server_ids))

    async def heartbeat(self, ask: Heartbeat) -> Nothing:
        """The host lives, and so do the tasks and the orders for volumes that it works on."""
        await self._hosts.heartbeat(ask.host, ask.resources)
        if ask.running:
            await self._servers.renew(ask.running)
            await self._desk.renew(ask.running)
        return Nothing()

    def serve(self, bus: Bus, power: PowerSync) -> None:
        """Everything the conductor answers to, in one place."""
        bus.on_call(START_BUILD, self.start_build)
        bus.on_call(ALLOCATE_NETWORK, self.allocate_network)
        bus.on_call(GET_ASSIGNMENT, self.get_assignment)
        bus.on_call(GET_SERVER, self.get_server)
        bus.on_call(GET_TASK, self.get_task)
        bus.on_call(REPORT_PROGRESS, self.report_progress)
        bus.on_call(REPORT_FAILURE, self.report_failure)
        bus.on_call(HOST_STARTED, self.host_started)
        bus.on_call(LIST_HOST_SERVERS, self.list_host_servers)
        bus.on_call(JUDGE_GUESTS, self.judge_guests)
        bus.on_call(HEARTBEAT, self.heartbeat)
        bus.on_cast(REPORT_POWER, power.report_power)
        bus.on_cast(REPORT_LOST_GUEST, power.report_lost_guest)


def _told(state: State) -> NewState:
    return NewState(vm=state.vm, task=state.task)


@asynccontextmanager
async def conductor(runtime: Runtime) -> AsyncIterator[None]:
    """Serve the `conductor` topic, and look after interrupted tasks, until the block ends."""
    database, tracer = await runtime.database(), runtime.tracer(BINARY)
    bus = await runtime.bus(BINARY)
    async with telling(runtime, bus, database, traced(tracer)) as tell, _serving(runtime, bus, database, tracer, tell):
        yield


@asynccontextmanager
async def _serving(
    runtime: Runtime, bus: Bus, database: Database, tracer: Tracer, tell: Callable[[Transition], None]
) -> AsyncIterator[None]:
    config, clock = runtime.config, runtime.clock
    servers, hosts = Servers(database, clock, tell), Hosts(database, clock)
    recovery = Recovery(bus, servers, hosts, config, clock, tracer)
    desk = VolumeDesk(bus, Volumes(database), VolumeSnapshots(database), config.conductor, clock)
    Conductor(bus, servers, hosts, Ec2Ids(database), recovery, desk, config).serve(bus, PowerSync(bus, servers))
    desk.serve(bus)
    await bus.serve(CONDUCTOR)
    beats = beat(Services(database, clock), BINARY, config.compute.heartbeat_interval, clock)
    books = Bookkeeper(hosts, Quotas(database), clock, log.error)
    images = _image_audit(runtime, database, tracer)
    loops = [
        runtime.spawn(beats, "conductor beats"),
        runtime.spawn(recovery.run(), "recovery"),
        runtime.spawn(Timers(bus, servers, config, clock).run(), "timers"),
        runtime.spawn(books.run(config.conductor.audit_interval), "bookkeeping"),
        runtime.spawn(desk.run(config.conductor.recovery_interval), "orders for volumes"),
        runtime.spawn(images.run(config.conductor.audit_interval), "image audit"),
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await bus.close()


def _image_audit(runtime: Runtime, database: Database, tracer: Tracer) -> ImageAudit:
    config, clock = runtime.config, runtime.clock
    identity = IdentityClient(runtime.http, config.identity_url, tracer)
    token = ServiceToken(identity, lambda: read(runtime.state_dir, config.identity.service_project), clock)
    images = ImageClient(runtime.http, config.image_url, tracer)
    return ImageAudit(images, OrderedImages(database), token.get, clock)
