"""Who works on which server of this host.

Orders for one server run one after the other, in this process, so a message that comes twice finds the work of the first
done. Work that a new task makes pointless (a guest asked to power off, an image on its way) is given up where it says so,
so a delete does not wait for it.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from novaflow.errors import NovaflowError, OrderAborted, TaskSuperseded

T = TypeVar("T")


class Slot:
    """One order's turn at one server, or at a volume: then `task_id` is the order's. It is empty for the host's own housekeeping."""

    def __init__(self, server_id: str, task_id: str) -> None:
        self.server_id = server_id
        self.task_id = task_id
        self._taken_over = asyncio.Event()
        self.is_aborted = False  # whoever ordered it wants it no longer; the task has still to say how it ended
        self._waiting: asyncio.Task[Any] | None = None

    @property
    def is_taken_over(self) -> bool:
        """Another task has said that the server is its own now."""
        return self._taken_over.is_set()

    async def unless_taken_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`; raises TaskSuperseded at once, with `work` cancelled, when another task takes the server over.

        The same when the order is aborted, with OrderAborted.
        """
        if refusal := self._given_up():
            work.close()
            raise refusal
        self._waiting = asyncio.get_running_loop().create_task(work)
        try:
            answer: T = await self._waiting
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if (refusal := self._given_up()) and not (here and here.cancelling()):
                raise refusal from None
            raise
        finally:
            self._waiting = None
        return answer

    def take_over(self) -> None:
        """Another task owns the server now."""
        self._taken_over.set()
        self._interrupt()

    def abort(self) -> None:
        """Nobody wants this any more."""
        self.is_aborted = True
        self._interrupt()

    def _interrupt(self) -> None:
        if self._waiting:
            self._waiting.cancel()

    def _given_up(self) -> NovaflowError | None:
        """Why its work is not to be done, or not any more."""
        if self._taken_over.is_set():
            return TaskSuperseded(server_id=self.server_id, task_id=self.task_id)
        if self.is_aborted:
            return OrderAborted(server_id=self.server_id, task_id=self.task_id)
        return None


class Slots:
    """The servers of one host that somebody works on or waits for. First come, first served, per server."""

    def __init__(self) -> None:
        self._slots: dict[str, list[Slot]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def hold(self, server_id: str, task_id: str = "", *, takes_over: bool = False) -> AsyncIterator[Slot]:
        """Wait for the server's turn. With `takes_over`, orders of other tasks give up what they can."""
        slot = Slot(server_id, task_id)
        present = self._slots.setdefault(server_id, [])
        lock = self._locks.setdefault(server_id, asyncio.Lock())
        if takes_over:
            for other in present:
                if other.task_id != task_id:
                    other.take_over()
        present.append(slot)
        try:
            async with lock:
                yield slot
        finally:
            present.remove(slot)
            if not present:
                del self._slots[server_id], self._locks[server_id]

    def abort(self, server_id: str, task_id: str) -> None:
        """What this task does to the server is not wanted any more."""
        for slot in self._slots.get(server_id, []):
            if slot.task_id == task_id:
                slot.abort()

    def is_busy(self, server_id: str) -> bool:
        """Whether somebody works on this server or waits to."""
        return server_id in self._slots

    @property
    def running(self) -> tuple[str, ...]:
        """The tasks, and the orders for volumes, that this host works on or has taken from the queue to work on."""
        return tuple({slot.task_id: None for slots in self._slots.values() for slot in slots if slot.task_id})
