"""Which hosts live, judged by the clock at the moment of a decision and not when their signs of life were read."""

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta


class Pulse:
    """When each host was last seen; one that was not for `down_time` seconds is dead until it is seen again."""

    def __init__(self, down_time: float) -> None:
        self._down_time = timedelta(seconds=down_time)
        self._seen: dict[str, datetime] = {}
        self._next: list[tuple[datetime, str]] = []  # when each living host is to be looked at; a heap

    def saw(self, name: str, seen: datetime | None) -> None:
        """A host was seen then; None: it counts as dead, whatever it shows."""
        if seen is None:
            self._seen.pop(name, None)
            return
        is_new = name not in self._seen
        self._seen[name] = seen if is_new else max(seen, self._seen[name])
        if is_new:
            heapq.heappush(self._next, (seen + self._down_time, name))

    def is_up(self, name: str, now: datetime) -> bool:
        """Whether a host lives."""
        seen = self._seen.get(name)
        return seen is not None and now - seen <= self._down_time

    def died(self, now: datetime) -> Iterator[str]:
        """The hosts that have died since this was last asked. Each is forgotten until it is seen again."""
        while self._next and self._next[0][0] < now:
            _, name = heapq.heappop(self._next)
            if name not in self._seen:
                continue
            if self.is_up(name, now):
                heapq.heappush(self._next, (self._seen[name] + self._down_time, name))
            else:
                del self._seen[name]
                yield name
