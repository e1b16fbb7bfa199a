"""What was read a moment ago, for questions that come often and may be answered a little late."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from novaflow.clock import Clock

T = TypeVar("T")


class Recent(Generic[T]):
    """Reads again only when the last answer is older than `seconds`, or was made untrue by somebody who says so."""

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock, seconds: float) -> None:
        self._read = read
        self._clock = clock
        self._seconds = seconds
        self._kept: tuple[T, float] | None = None
        self._changes = 0

    async def get(self) -> T:
        """The answer, at most `seconds` old; what was changed before `forget` was called is always in it."""
        if self._kept is not None and self._clock.monotonic() < self._kept[1]:
            return self._kept[0]
        until, changes = self._clock.monotonic() + self._seconds, self._changes
        answer = await self._read()
        if changes == self._changes:  # else it may have been read before the change
            self._kept = answer, until
        return answer

    def forget(self) -> None:
        """The answer has changed: read again."""
        self._changes += 1
        self._kept = None
