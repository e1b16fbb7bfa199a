"""A compute host's hand in the database: calls to the conductor, repeated until they are answered or the budget is spent.

A call may be repeated because every report is fenced by task and host and answers the same when it was recorded already. If the
conductor stays away, the order's handler fails: its message comes again, or recovery orders the task again.
"""

from collections.abc import Collection
from typing import Final, TypeVar

from novaflow.clock import Clock
from novaflow.errors import ServiceUnavailable
from novaflow.hosts import HostResources, Verdict
from novaflow.messages import (
    ALLOCATE_NETWORK,
    GET_ASSIGNMENT,
    GET_SERVER,
    GET_TASK,
    GET_VOLUME,
    GET_VOLUME_SNAPSHOT,
    HEARTBEAT,
    HOST_STARTED,
    JUDGE_GUESTS,
    LIST_HOST_SERVERS,
    LIST_HOST_VOLUMES,
    REPORT_FAILURE,
    REPORT_LOST_GUEST,
    REPORT_POWER,
    REPORT_PROGRESS,
    REPORT_VOLUME,
    REPORT_VOLUME_SNAPSHOT,
    START_BUILD,
    BuildInstance,
    Failure,
    Guest,
    GuestLost,
    Heartbeat,
    HostAsk,
    HostedServer,
    HostStarted,
    HostVolumes,
    HostVolumesAsk,
    JudgeAsk,
    MoveServer,
    NewState,
    PowerReport,
    Progress,
    ServerOrder,
    TaskStep,
    VolumeOrder,
    VolumeReport,
    VolumeStep,
)
from novaflow.models import Address, BuildPlan, Fault, Server
from novaflow.states import Event, Power
from novaflow.tasks import Assignment, TaskRecord
from novaflow.volumes import Volume, VolumeSnapshot
from rpc.bus import Bus
from rpc.errors import Away, CallTimeout, NotConnected, RemoteFailure, Unroutable
from rpc.procedure import Call

Req = TypeVar("Req")
Res = TypeVar("Res")

TRIES: Final = 4
TIMEOUT: Final = 20.0  # seconds for one try
PAUSE: Final = 0.5  # seconds before the second try; doubles
Order = BuildInstance | MoveServer | ServerOrder


class ConductorAway(Away):
    """No answer within the budget. What was asked may have been recorded or not."""


class Records:
    """What one host asks of the conductor and tells it."""

    def __init__(self, bus: Bus, host: str, clock: Clock) -> None:
        self.host = host
        self._bus = bus
        self._clock = clock

    async def start_build(self, order: BuildInstance) -> BuildPlan:
        """Take the build up; raises TaskSuperseded when it is not this host's, BuildGivenUp when it was started too often."""
        return await self._ask(START_BUILD, self._step(order))

    async def allocate_network(self, order: BuildInstance) -> tuple[Address, ...]:
        """The server's addresses."""
        return (await self._ask(ALLOCATE_NETWORK, self._step(order))).addresses

    async def owned(self, order: ServerOrder | MoveServer) -> Server:
        """The server, if the order's task still owns it here; else TaskSuperseded."""
        return await self._ask(GET_SERVER, self._step(order))

    async def assignment(self, order: ServerOrder | MoveServer) -> Assignment:
        """All that the order's task needs; raises TaskSuperseded when it is not (any more) this host's to carry out."""
        return await self._ask(GET_ASSIGNMENT, self._step(order))

    async def task(self, order: ServerOrder | MoveServer) -> TaskRecord:
        """What became of the order's task, which may be over."""
        return await self._ask(GET_TASK, self._step(order))

    async def progress(
        self,
        order: Order,
        event: Event,
        power: Power | None = None,
        *,
        then: tuple[Event, ...] = (),
        takes_volumes: bool = False,
    ) -> NewState:
        """`event` happened, and `then` these; raises TaskSuperseded when the server has moved on without us."""
        report = Progress(
            server_id=order.server_id,
            task_id=order.task_id,
            host=self.host,
            event=event,
            power=power,
            then=then,
            takes_volumes=takes_volumes,
        )
        return await self._ask(REPORT_PROGRESS, report)

    async def build_failed(self, build: BuildInstance, fault: Fault, *, may_retry: bool) -> NewState:
        """The build failed here and has left nothing behind."""
        report = Failure(
            server_id=build.server_id,
            task_id=build.task_id,
            host=self.host,
            context=build.context,
            fault=fault,
            may_retry=may_retry,
            build=build,
        )
        return await self._ask(REPORT_FAILURE, report)

    async def failed(
        self,
        order: ServerOrder | MoveServer,
        fault: Fault,
        power: Power | None = None,
        *,
        may_retry: bool = False,
        is_broken: bool = False,
        is_undone: bool = False,
        is_aborted: bool = False,
    ) -> NewState:
        """The action failed; the guest is in `power` now. Of a move, see novaflow.messages.Failure."""
        report = Failure(
            server_id=order.server_id,
            task_id=order.task_id,
            host=self.host,
            context=order.context,
            fault=fault,
            power=power,
            may_retry=may_retry,
            is_broken=is_broken,
            is_undone=is_undone,
            is_aborted=is_aborted,
            move=order if isinstance(order, MoveServer) else None,
        )
        return await self._ask(REPORT_FAILURE, report)

    async def started(self, resources: HostResources, zone: str, guests: tuple[Guest, ...]) -> list[HostedServer]:
        """The host serves; answers the servers that are its own. One try."""
        report = HostStarted(host=self.host, resources=resources, availability_zone=zone, guests=guests)
        return list((await self._bus.call(HOST_STARTED, report, timeout=TIMEOUT)).servers)

    async def servers(self) -> list[HostedServer]:
        """The servers that the database places on this host now. One try."""
        return list((await self._bus.call(LIST_HOST_SERVERS, HostAsk(host=self.host), timeout=TIMEOUT)).servers)

    async def judge(self, server_ids: Collection[str]) -> dict[str, Verdict]:
        """What each of these servers is to this host."""
        if not server_ids:
            return {}
        return (await self._ask(JUDGE_GUESTS, JudgeAsk(host=self.host, server_ids=tuple(server_ids)))).verdicts

    async def lost(self, server_id: str) -> None:
        """This server should have a guest here and has none."""
        await self._bus.cast(
            REPORT_LOST_GUEST, GuestLost(host=self.host, server_id=server_id, seen_at=self._clock.now())
        )

    async def volume(self, order: VolumeOrder) -> Volume:
        """What the order is about; raises TaskSuperseded when it is not (any more) this host's to carry out."""
        return await self._ask(GET_VOLUME, VolumeStep(id=order.id, order_id=order.order_id, host=self.host))

    async def volume_snapshot(self, order: VolumeOrder) -> VolumeSnapshot:
        """The same of an order for a snapshot."""
        return await self._ask(GET_VOLUME_SNAPSHOT, VolumeStep(id=order.id, order_id=order.order_id, host=self.host))

    async def volume_ended(
        self, order: VolumeOrder, *, of_snapshot: bool = False, device: str = "", fault: str | None = None
    ) -> None:
        """The order is done, or has failed for a reason; raises TaskSuperseded when there is another."""
        report = VolumeReport(id=order.id, order_id=order.order_id, host=self.host, device=device, fault=fault)
        await self._ask(REPORT_VOLUME_SNAPSHOT if of_snapshot else REPORT_VOLUME, report)

    async def host_volumes(self, volume_ids: Collection[str], snapshot_ids: Collection[str]) -> HostVolumes:
        """What this host should have, and what became of what it has."""
        ask = HostVolumesAsk(host=self.host, volume_ids=tuple(volume_ids), snapshot_ids=tuple(snapshot_ids))
        return await self._ask(LIST_HOST_VOLUMES, ask)

    async def beat(self, resources: HostResources, running: tuple[str, ...], timeout: float) -> None:
        """The host lives and works on these tasks. One try."""
        await self._bus.call(
            HEARTBEAT, Heartbeat(host=self.host, resources=resources, running=running), timeout=timeout
        )

    async def power(self, server_id: str, power: Power) -> None:
        """The guest's power state is now this, without anybody having ordered it."""
        report = PowerReport(host=self.host, server_id=server_id, power=power, seen_at=self._clock.now())
        await self._bus.cast(REPORT_POWER, report)

    def _step(self, order: Order) -> TaskStep:
        return TaskStep(server_id=order.server_id, task_id=order.task_id, host=self.host)

    async def _ask(self, procedure: Call[Req, Res], ask: Req) -> Res:
        pause = PAUSE
        problem: Exception | None = None
        for attempt in range(TRIES):
            if attempt:
                await self._clock.sleep(pause)
                pause *= 2
            try:
                return await self._bus.call(procedure, ask, timeout=TIMEOUT)
            except (CallTimeout, NotConnected, RemoteFailure, Unroutable, ServiceUnavailable) as error:
                problem = error
        if isinstance(problem, RemoteFailure):
            raise problem  # it is there, and fails: more of the same may not help
        raise ConductorAway(f"{procedure.name}: {problem}") from problem
