"""A process that orders and asks without end, and writes down what it was told: `sent`, `refused`, `call`.

`sent` is written after `cast` has returned: from then on the message is promised.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rpc.bus import Bus
from rpc.errors import BusError
from tests.support.promise_messages import Journal, Plan, Work, opened, run

PADDING = "x" * 1000


class Publisher:
    """All the senders and callers of one process."""

    def __init__(self, plan: Plan, bus: Bus, journal: Journal) -> None:
        self._plan = plan
        self._bus = bus
        self._journal = journal
        self._numbers = itertools.count(1)
        self._is_over = asyncio.Event()

    async def work(self, until_told: Callable[[], Awaitable[object]]) -> None:
        """Send and ask until told to end; whatever is under way comes to its end then."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._plan.groups):
                tasks.create_task(self._send())
            for _ in range(self._plan.callers):
                tasks.create_task(self._ask())
            await until_told()
            self._is_over.set()

    async def _send(self) -> None:
        while not self._is_over.is_set():
            await asyncio.gather(*(self._cast() for _ in range(self._plan.burst)))
            await asyncio.sleep(self._plan.pause)

    async def _cast(self) -> None:
        work = self._next()
        try:
            await self._bus.cast(self._plan.do, work)
        except BusError as error:
            self._journal.write("refused", work.id, type(error).__name__, str(error))
        else:
            self._journal.write("sent", work.id)

    async def _ask(self) -> None:
        while not self._is_over.is_set():
            work = self._next()
            began = time.monotonic()
            try:
                answer = await self._bus.call(self._plan.ask, work)
                outcome = "answered" if answer.id == work.id else "mistaken"
            except BusError as error:
                outcome = type(error).__name__
            self._journal.write("call", work.id, outcome, f"{time.monotonic() - began:.3f}")
            await asyncio.sleep(self._plan.pause)

    def _next(self) -> Work:
        return Work(id=f"{self._plan.name}-{next(self._numbers)}", padding=PADDING)


async def publish(plan: Plan, until_told: Callable[[], Awaitable[object]]) -> None:
    """The program."""
    with Journal(Path(plan.journal)) as journal:
        async with opened(plan) as bus:
            await Publisher(plan, bus, journal).work(until_told)


if __name__ == "__main__":
    run(publish)
