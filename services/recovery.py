"""Interrupted tasks, found and ordered again, until they end one way or another.

A task is recorded before anything is ordered, so whatever was lost (a message, a process, a whole broker) leaves a running
task without a sign of life. Signs of life are its transitions and the heartbeats of the host that works on it. After
`conductor.task_lease` seconds without one (twice as long after each order) the task is taken up here: `retake` is conditional, so of several
conductors one wins, and it counts the orders, so a task that can never end is ended with a fault after
`conductor.task_attempts`. An order too many is harmless: every worker is fenced by the task and its host.

In the delivery mode `icehouse` lost orders stay lost, as in 2014: that is what the mode is there to show. Only a host that starts
looks after its own tasks, and gives up its builds (nova/compute/manager.py, `_init_instance`).
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Final

import msgspec

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.hosts import Hosts
from novaflow.db.servers import Servers, StaleTask
from novaflow.errors import NotFound, NovaflowError, TaskSuperseded
from novaflow.hosts import Host
from novaflow.messages import (
    BUILD_AND_RUN_INSTANCE,
    BUILD_INSTANCES,
    POST_LIVE_MIGRATION,
    BuildInstance,
    MoveServer,
    RebootOrder,
    ServerOrder,
)
from novaflow.models import Context, Fault, Value
from novaflow.states import Event, Power, Task
from novaflow.tasks import Migration, TaskRecord
from rpc.bus import Bus
from rpc.errors import BusError
from rpc.procedure import Cast
from rpc.settings import DURABLE
from rpc.tracing import Position, Span, Tracer
from services.reordering import order_of

BATCH: Final = 200  # tasks taken up in one look
HARD_REBOOT: Final = frozenset({Task.REBOOTING_HARD, Task.REBOOT_PENDING_HARD, Task.REBOOT_STARTED_HARD})
OFF: Final = frozenset({Power.NOSTATE, Power.SHUTDOWN, Power.CRASHED})
_HANDED_OVER: Final = frozenset({Task.RESIZE_MIGRATED, Task.RESIZE_FINISH})
# Given up here, a server has no guest, or one that is neither what it was nor what it should have become.
_HALF_MADE: Final = frozenset({Task.REBUILD_BLOCK_DEVICE_MAPPING, Task.REBUILD_SPAWNING, Task.REBOOT_STARTED_HARD})
log = logging.getLogger(__name__)


class Recovery:
    """Looks for interrupted tasks and orders them again."""

    def __init__(self, bus: Bus, servers: Servers, hosts: Hosts, config: Config, clock: Clock, tracer: Tracer) -> None:
        self._tracer = tracer
        self._bus = bus
        self._servers = servers
        self._hosts = hosts
        self._config = config
        self._clock = clock
        self._resumes = config.bus.delivery == DURABLE

    async def run(self) -> None:
        """Look every `conductor.recovery_interval` seconds, until cancelled. An outage is waited out."""
        if not self._resumes:
            return
        if self._config.bus.url.startswith("memory:"):
            await self._surviving(self.at_start)
        while True:
            await self._clock.sleep(self._config.conductor.recovery_interval)
            await self._surviving(self.look)

    async def _surviving(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except (NovaflowError, BusError) as error:
            log.warning("interrupted tasks are looked for again later: %s", error)
        except Exception:
            log.exception("interrupted tasks could not be looked for")

    async def look(self) -> int:
        """Take up every task whose lease ran out; answers how many were taken up here.

        Each order doubles the lease: a task that only waits its turn behind a busy host, or for a broker that is away, is
        not ordered to death.
        """
        now, lease = self._clock.now(), timedelta(seconds=self._config.conductor.task_lease)
        return await self._take_up(await self._servers.stale_tasks(now - lease, BATCH, lease=lease))

    async def at_start(self) -> None:
        """With a bus in memory nothing that was queued survived: order every build that has no host yet.

        Tasks that have a host are ordered when their host starts.
        """
        started = self._clock.now()
        while found := [stale for stale in await self._servers.stale_tasks(started, BATCH) if not stale.server.host]:
            if not await self._take_up(found):
                return

    async def host_started(self, host: str) -> None:
        """Order again whatever was under way on a host whose worker has just started."""
        await self._take_up(await self._running_on(host))

    async def _running_on(self, host: str) -> list[StaleTask]:
        busy = [hosted.id for hosted in await self._servers.on_host(host) if hosted.task_id is not None]
        running = [await self._running_task(server_id) for server_id in busy]
        return [stale for stale in running if stale is not None]

    async def _running_task(self, server_id: str) -> StaleTask | None:
        """The task that owns a server, as if it were stale; None when there is none any more."""
        server = await self._servers.get(server_id, deleted=True)
        for task in await self._servers.actions(server_id):
            if task.id == server.task_id:
                seen = max(task.updated_at, server.updated_at)  # the last sign of life of either
                return StaleTask(server=server, task=msgspec.structs.replace(task, updated_at=seen))
        return None

    async def _take_up(self, found: Sequence[StaleTask]) -> int:
        if not found:
            return 0
        known = await self._hosts.all(self._clock.now(), self._config.compute.service_down_time)
        hosts = {host.name: host for host in known}
        taken = 0
        for stale in found:
            try:
                if await self._servers.retake(stale.task.id, stale.task.updated_at):
                    taken += 1
                    with self._taking_up(stale):
                        await self._end_or_order(stale, hosts)
            except (TaskSuperseded, NotFound):
                continue  # it moved while we looked: there is nothing to take up any more
            except (NovaflowError, BusError) as error:
                log.warning("task %s of server %s waits for the next look: %s", stale.task.id, stale.server.id, error)
        return taken

    def _taking_up(self, stale: StaleTask) -> AbstractContextManager[Span]:
        """A hop of the request that ordered the task, so that its trace shows who went on with it."""
        facts = {"server_id": stale.server.id, "task_id": stale.task.id, "host": stale.server.host}
        return self._tracer.span("step", f"take up {stale.task.action}", parent=_trace_of(stale.task), attributes=facts)

    async def _end_or_order(self, stale: StaleTask, hosts: Mapping[str, Host]) -> None:
        server, task = stale.server, stale.task
        log.info("server %s: %s is taken up again, for the %d. time", server.id, task.action, task.attempts)
        is_hopeless = task.attempts >= self._config.conductor.task_attempts and not _is_local_delete(stale, hosts)
        if task.action == "create" and (is_hopeless or not self._resumes):
            fault = _never_finished(stale, hosts) if is_hopeless else _interrupted(stale)
            await self._servers.advance(server.id, task.id, Event.BUILD_FAILED, fault=fault)
        elif is_hopeless:
            await self._give_up(stale, hosts)
        else:
            await self._order(stale, hosts)

    async def _give_up(self, stale: StaleTask, hosts: Mapping[str, Host]) -> None:
        """End a task that cannot be finished, in the way that loses least. What its host has then is set right by audits."""
        server, task = stale.server, stale.task
        fault = _never_finished(stale, hosts)
        if server.task in _HANDED_OVER:
            # The disk is at the source and at nobody's disposal until the server is there again.
            await self._servers.advance(server.id, task.id, Event.RESIZE_ROLLED_BACK, fault=fault)
            await self._order(await self._again(stale), hosts)
        elif server.task is Task.RESIZE_CONFIRMING:
            await self._confirm(stale)
        elif server.task is Task.MIGRATING and (move := await self._servers.migration(server.id)) and move.claim_host:
            await self._ask_destination(stale, move.claim_host, fault)
        else:
            event = Event.BROKEN if server.task in _HALF_MADE else Event.FAILED
            await self._servers.advance(server.id, task.id, event, fault=fault)

    async def _confirm(self, stale: StaleTask) -> None:
        """The source does not clear away what it has left: it will, when it is back, since nothing there is wanted any more."""
        event = Event.CONFIRMED_OFF if stale.server.power in OFF else Event.CONFIRMED
        await self._servers.advance(stale.server.id, stale.task.id, event, told_by=stale.server.host)

    async def _ask_destination(self, stale: StaleTask, destination: str, fault: Fault) -> None:
        """The source of a live migration is gone for good: the guest has come to the destination, or it has died at the source.

        Raises BusError while the destination does not answer either. To give up then could lose a guest that has come: the task waits.
        """
        server, task = stale.server, stale.task
        order = ServerOrder(context=_context(task), server_id=server.id, task_id=task.id)
        try:
            await self._bus.call(POST_LIVE_MIGRATION.at(destination), order)
        except NovaflowError:
            await self._servers.advance(server.id, task.id, Event.FAILED, fault=fault)
        else:
            await self._servers.advance(server.id, task.id, Event.LIVE_MIGRATED)

    async def _again(self, stale: StaleTask) -> StaleTask:
        """The same task with its server as it is now."""
        return StaleTask(server=await self._servers.get(stale.server.id), task=stale.task)

    async def _order(self, stale: StaleTask, hosts: Mapping[str, Host]) -> None:
        """Send the order that this task was waiting for; raises Unroutable when nobody would hear it."""
        if stale.task.action == "create":
            await self._order_build(stale, hosts)
        elif _is_local_delete(stale, hosts):
            await self._servers.delete_locally(_context(stale.task), stale.server)
        else:
            await self._order_again(stale)

    async def _order_build(self, stale: StaleTask, hosts: Mapping[str, Host]) -> None:
        server, host = stale.server, stale.server.host
        spec = await self._servers.spec(server.id)
        build = BuildInstance(context=_context(stale.task), server_id=server.id, task_id=stale.task.id, spec=spec)
        if host is not None and _is_up(host, hosts):
            await self._bus.cast(BUILD_AND_RUN_INSTANCE.at(host), build)
            return
        if host is not None:
            await self._servers.advance(server.id, stale.task.id, Event.RESCHEDULED, host=host)
            build = msgspec.structs.replace(build, tried=(host,))
        await self._bus.cast(BUILD_INSTANCES, build)

    async def _order_again(self, stale: StaleTask) -> None:
        server, task = stale.server, stale.task
        move = await self._servers.migration(server.id)
        procedure = order_of(server, task.action, move)
        if procedure is None:
            fault = Fault(
                code=500, message=f"The {task.action} was interrupted, and its password is not kept: order it again."
            )
            await self._servers.advance(server.id, task.id, Event.FAILED, fault=fault)
        else:
            await self._bus.cast(procedure, await self._message(procedure, stale, move))

    async def _message(self, procedure: Cast[Any], stale: StaleTask, move: Migration | None) -> Value:
        named: dict[str, Any] = {
            "context": _context(stale.task),
            "server_id": stale.server.id,
            "task_id": stale.task.id,
        }
        if procedure.request is RebootOrder:
            return RebootOrder(**named, hard=stale.server.task in HARD_REBOOT)
        if procedure.request is not MoveServer:
            order: ServerOrder = procedure.request(**named)
            return order
        spec, params = await self._servers.spec(stale.server.id), stale.task.params
        changes: dict[str, Any] = {"force_host": params.target_host}
        if move is not None:
            changes["flavor"] = move.new_flavor
        if params.availability_zone:
            changes["availability_zone"] = params.availability_zone
        return MoveServer(**named, spec=msgspec.structs.replace(spec, **changes))


def _is_up(host: str, hosts: Mapping[str, Host]) -> bool:
    return host in hosts and hosts[host].is_up


def _is_local_delete(stale: StaleTask, hosts: Mapping[str, Host]) -> bool:
    """A delete that no host can carry out: there is none, or it is down (it cleans up when it is back)."""
    host = stale.server.host
    return stale.server.task is Task.DELETING and (host is None or not _is_up(host, hosts))


def _trace_of(task: TaskRecord) -> Position | None:
    """The trace of a request is its id's UUID (rpc.tracing); None for an id of another make."""
    trace_id = task.request_id.removeprefix("req-").replace("-", "")
    return Position(trace_id, "") if Position.parse(f"00-{trace_id}-{'1' * 16}-01") else None


def _context(task: TaskRecord) -> Context:
    """Who ordered the task. The user's token is not kept, so the workers use the service's own."""
    return Context(request_id=task.request_id, user_id=task.user_id, project_id=task.project_id)


def _interrupted(stale: StaleTask) -> Fault:
    return Fault(code=500, message=f"The build was interrupted by a restart of host {stale.server.host}.")


def _never_finished(stale: StaleTask, hosts: Mapping[str, Host]) -> Fault:
    host = stale.server.host
    where = "no host was found in time"
    if host is not None:
        where = f"host {host} {'did not finish it' if _is_up(host, hosts) else 'is down'}"
    return Fault(code=500, message=f"The {stale.task.action} was ordered {stale.task.attempts} times: {where}.")
