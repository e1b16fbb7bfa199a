"""A process that does what it is told, and writes down each message it has dealt with: `handled`, `answered`, `cancelled`."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.promise_messages import Done, Journal, Plan, Work, opened, run


class Consumer:
    """Both handlers."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self._plan = plan
        self._journal = journal
        self._dice = random.Random(plan.seed)

    async def do_it(self, ask: Work) -> None:
        """The work is done when its line is written."""
        await self._toil(ask)
        self._journal.write("handled", ask.id)

    async def ask_it(self, ask: Work) -> Done:
        """Answer with the question's id."""
        await self._toil(ask)
        self._journal.write("answered", ask.id)
        return Done(id=ask.id)

    async def _toil(self, ask: Work) -> None:
        try:
            await asyncio.sleep(self._dice.random() * self._plan.work)
        except asyncio.CancelledError:
            self._journal.write("cancelled", ask.id)
            raise


async def consume(plan: Plan, until_told: Callable[[], Awaitable[object]]) -> None:
    """The program."""
    with Journal(Path(plan.journal)) as journal:
        async with opened(plan) as bus:
            consumer = Consumer(plan, journal)
            bus.on_cast(plan.do, consumer.do_it)
            bus.on_call(plan.ask, consumer.ask_it)
            await bus.serve(plan.topic)
            await until_told()


if __name__ == "__main__":
    run(consume)
