"""How a host carries out its part of a move, whatever it is.

A move has two workers. Each order is fenced: it says nothing but whose task it is, and the conductor tells where the server is and
what has been done. So an order that comes twice, late, or after a crash goes on from there. Whoever is refused, or fails, removes
what he made (`Turn.undo`) before he says so.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from novaflow.errors import GuestFailed, NotFound, NovaflowError, TaskSuperseded
from novaflow.messages import MoveServer, ServerOrder
from novaflow.models import Assignment, Migration, Server
from novaflow.states import Power
from rpc.errors import BusError
from rpc.tracing import Span
from services.compute.faults import fault_of, is_hosts_fault
from services.compute.host import ComputeHost
from services.compute.slots import Slot

log = logging.getLogger(__name__)


@dataclass
class Turn:
    """One order's turn at one server that moves, and what becomes of it when it fails."""

    host: ComputeHost
    ask: ServerOrder | MoveServer
    slot: Slot
    assignment: Assignment
    migration: Migration
    undo: Callable[[], Awaitable[None]] | None = None  # removes what this order made
    puts_back: bool = False  # after `undo` the guest is again where and as it was before the task
    may_retry: bool = False  # another host may fare better
    is_broken: bool = False  # it will be of no use any more

    @property
    def server(self) -> Server:
        """The server as the turn found it."""
        return self.assignment.plan.server

    def hop(self, name: str) -> AbstractContextManager[Span]:
        """A span of the hypervisor's work."""
        attributes = {"server_id": self.server.id, "host": self.host.name}
        return self.host.tracer.span("libvirt", name, attributes=attributes)

    async def power(self) -> Power:
        """What the hypervisor says now; remembered as told, since it goes into a report."""
        power = await self.host.driver.power(self.server.id)
        if power is Power.NOSTATE:
            self.host.told.pop(self.server.id, None)
        else:
            self.host.told[self.server.id] = power
        return power


async def take_turn(host: ComputeHost, ask: ServerOrder | MoveServer, work: Callable[[Turn], Awaitable[None]]) -> None:
    """Do `work`, if the order's task still owns the server and this host has a part in its move; report how it failed."""
    async with host.slots.hold(ask.server_id, ask.task_id) as slot:
        try:
            assignment = await host.records.assignment(ask)
        except (TaskSuperseded, NotFound):
            assignment = None
        if assignment is None or assignment.migration is None:
            log.info("server %s: task %s has nothing to do here any more", ask.server_id, ask.task_id)
            return
        turn = Turn(host, ask, slot, assignment, assignment.migration)
        try:
            await work(turn)
        except TaskSuperseded:
            log.info("server %s was taken over while it moved", ask.server_id)
            await _undo(turn)
        except BusError:
            raise
        except Exception as error:
            if not isinstance(error, NovaflowError):
                log.exception("server %s: task %s failed unexpectedly", ask.server_id, ask.task_id)
            await _fail(turn, error)


async def _fail(turn: Turn, error: Exception) -> None:
    is_undone = await _undo(turn)
    try:
        power: Power | None = await turn.power() or None
    except GuestFailed:
        power = None
    try:
        await turn.host.records.failed(
            turn.ask,
            fault_of(error),
            power,
            may_retry=turn.may_retry and is_hosts_fault(error),
            is_broken=turn.is_broken or not is_undone,
            is_undone=is_undone and turn.puts_back,
        )
    except TaskSuperseded:
        log.info("server %s was taken over while its move failed", turn.server.id)


async def _undo(turn: Turn) -> bool:
    """Whether nothing is left of what this order made. What cannot be removed now is a stray: the audit tries again."""
    if turn.undo is None:
        return True
    try:
        await turn.undo()
    except Exception:
        log.exception("server %s: what its move made here could not be removed", turn.server.id)
        return False
    return True
