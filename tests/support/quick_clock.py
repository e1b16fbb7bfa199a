"""Time that passes without waiting."""

import asyncio
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2014, 4, 17, tzinfo=UTC)


class QuickClock:
    """Sleeping moves it on at once; `slept` is for how long, each time."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=sum(self.slept))

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
