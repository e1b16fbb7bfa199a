"""One order's turn at one server that moves.

A move has two workers. An order says nothing but whose task it is; the conductor tells where the server is and what has been done. So an
order that comes twice, late, or after a crash goes on from there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from novaflow.errors import TaskSuperseded
from novaflow.messages import MoveServer, ServerOrder
from novaflow.models import Server
from novaflow.tasks import Assignment, Migration
from services.compute.carrying_out import Job, carry_out
from services.compute.host import ComputeHost


@dataclass(frozen=True)
class Turn:
    """The job, and what the conductor said when it began."""

    job: Job
    assignment: Assignment
    migration: Migration

    @property
    def server(self) -> Server:
        """The server as the turn found it."""
        return self.assignment.plan.server

    @property
    def order(self) -> ServerOrder:
        """What is ordered of the other host in the name of the same task."""
        ask = self.job.ask
        return ServerOrder(context=ask.context, server_id=ask.server_id, task_id=ask.task_id)


async def take_turn(host: ComputeHost, ask: ServerOrder | MoveServer, work: Callable[[Turn], Awaitable[None]]) -> None:
    """Do `work`, if the order's task still owns the server and this host has a part in its move; report how it failed."""

    async def in_turn(job: Job) -> None:
        assignment = await job.assignment()
        if assignment.migration is None:
            raise TaskSuperseded(server_id=ask.server_id, task_id=ask.task_id)
        await work(Turn(job, assignment, assignment.migration))

    await carry_out(host, ask, in_turn)
