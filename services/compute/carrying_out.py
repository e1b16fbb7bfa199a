"""How a host carries out an order for one server that stays where it is.

Orders for one server run one after the other. Whoever carries one out asks first whether its task still owns the server here, so an order
that comes twice or late does nothing. From then on he goes on until he is done, fails, or hears that the server has been taken over; in
the last two cases he first removes what he made (`Job.undo`), then says so. The driver's operations may be repeated, so an order that was
interrupted half-way is simply done again: when the conductor stays away nobody knows what was recorded, the handler fails, and the order
comes again.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from novaflow.errors import GuestFailed, NotFound, NovaflowError, OrderAborted, TaskSuperseded
from novaflow.messages import MoveServer, ServerOrder
from novaflow.models import Server
from novaflow.states import Event, Power
from novaflow.tasks import Assignment
from rpc.errors import BusError
from rpc.tracing import Span
from services.compute.faults import fault_of, is_hosts_fault
from services.compute.host import ComputeHost
from services.compute.slots import Slot

DONE: Final = "done"  # the state of a task that succeeded
DOWN: Final = frozenset({Power.NOSTATE, Power.SHUTDOWN, Power.CRASHED})
Order = ServerOrder | MoveServer
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class Job:
    """One order's turn at one server, and what becomes of the server when the order fails."""

    host: ComputeHost
    ask: Order
    slot: Slot
    is_begun: bool = False  # the task owned the server when it was asked
    undo: Callable[[], Awaitable[None]] | None = None  # removes what this order made
    puts_back: bool = False  # of a move: after `undo` the guest is again where and as it was before
    is_broken: bool = False  # the server will be of no use any more
    broken_when: frozenset[Power] = frozenset()  # a server whose guest is left like that is of no use any more

    async def owned(self) -> Server:
        """The server; raises TaskSuperseded when it is not this task's (any more)."""
        server = await self.host.records.owned(self.ask)
        self.is_begun = True
        return server

    async def assignment(self) -> Assignment:
        """The server, how it was made, and what was asked; raises like `owned`."""
        assignment = await self.host.records.assignment(self.ask)
        self.is_begun = True
        return assignment

    async def progress(self, event: Event, *, then: tuple[Event, ...] = ()) -> None:
        """A step on the way; raises like `owned`."""
        await self.host.records.progress(self.ask, event, then=then)

    async def done(self, event: Event) -> None:
        """The step, with the power state that it led to; raises like `owned`."""
        await self.host.records.progress(self.ask, event, await self.power())

    async def power(self) -> Power:
        """What the hypervisor says now; it goes into a report, so it counts as told."""
        power = await self.host.driver.power(self.ask.server_id)
        if power is Power.NOSTATE:
            self.host.told.pop(self.ask.server_id, None)
        else:
            self.host.told[self.ask.server_id] = power
        return power

    async def unless_taken_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`; raises TaskSuperseded, with `work` cancelled, when another task takes the server over."""
        return await self.slot.unless_taken_over(work)

    def hop(self, name: str) -> AbstractContextManager[Span]:
        """A span of the hypervisor's work."""
        attributes = {"server_id": self.ask.server_id, "host": self.host.name}
        return self.host.tracer.span("libvirt", name, attributes=attributes)


async def carry_out(
    host: ComputeHost,
    ask: Order,
    work: Callable[[Job], Awaitable[None]],
    *,
    takes_over: bool = False,
    missed: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Do `work` in its turn; report how it failed. `missed` is done instead when the task did not own the server any more."""
    async with host.slots.hold(ask.server_id, ask.task_id, takes_over=takes_over) as slot:
        job = Job(host, ask, slot)
        try:
            await work(job)
        except TaskSuperseded:
            log.info("server %s: task %s has nothing to do here any more", ask.server_id, ask.task_id)
            is_done = await _is_done(job)
            if not is_done:
                await _undo(job)
            if missed and (is_done or not job.is_begun):
                await missed()
        except BusError:
            raise
        except Exception as error:
            if not isinstance(error, NovaflowError):
                log.exception("server %s: task %s failed unexpectedly", ask.server_id, ask.task_id)
            await _fail(job, error)


async def carry_out_step(
    host: ComputeHost, ask: Order, name: str, step: Callable[[str], Coroutine[Any, Any, None]], done: Event
) -> None:
    """An order that is one operation of the hypervisor, called `name` in traces, and one report."""

    async def work(job: Job) -> None:
        await job.owned()
        with job.hop(name):
            await job.unless_taken_over(step(ask.server_id))
        await job.done(done)

    await carry_out(host, ask, work)


async def _fail(job: Job, error: Exception) -> None:
    is_undone = await _undo(job)
    try:
        power = await job.power()
    except GuestFailed:
        power = None
    try:
        await job.host.records.failed(
            job.ask,
            fault_of(error),
            power,
            may_retry=is_hosts_fault(error),
            is_broken=job.is_broken or power in job.broken_when or (job.puts_back and not is_undone),
            is_undone=job.puts_back and is_undone,
            is_aborted=isinstance(error, OrderAborted),
        )
    except TaskSuperseded:
        log.info("server %s was taken over while task %s failed", job.ask.server_id, job.ask.task_id)


async def _is_done(job: Job) -> bool:
    """Whether the task was over because it had succeeded: the last report of a run that was killed may be recorded after this one began."""
    if job.undo is None:
        return False
    try:
        return (await job.host.records.task(job.ask)).state == DONE
    except NotFound:
        return False


async def _undo(job: Job) -> bool:
    """Whether nothing is left of what the order made. What cannot be removed now is found by audits."""
    if job.undo is None:
        return True
    try:
        await job.undo()
    except Exception:
        log.exception("server %s: what task %s made could not be removed", job.ask.server_id, job.ask.task_id)
        return False
    return True
