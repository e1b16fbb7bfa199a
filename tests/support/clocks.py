"""Time that passes when a test says so."""

from datetime import datetime, timedelta


class ManualClock:
    """A clock that stands still until it is advanced. Whoever sleeps on it moves it on."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._now = start

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the start."""
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self.advance(timedelta(seconds=seconds))
