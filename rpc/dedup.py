"""A hook for handlers that must not see a message twice.

In durable delivery every cast may come again: its acknowledgement was lost with the connection, or its publisher
did not hear the confirm. Most handlers are safe to repeat; `Deduplicate` is for those that are not. It knows messages by
`_unique_id`, which oslo.messaging gives to each of its own.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from rpc.envelope import Envelope, Kind, Stage
from rpc.hooks import Forward
from rpc.procedure import Cast

# Ours have 32 characters, as oslo.messaging's. What is far longer is no id, and not worth remembering.
_ID_LIMIT: Final = 255


class Seen(Protocol):
    """The ids of handled messages. One that is kept where the handler's work is kept also holds across processes."""

    async def has(self, message_id: str) -> bool:
        """Was this message handled?"""
        ...

    async def add(self, message_id: str) -> None:
        """This message is handled."""
        ...


class RecentIds:
    """The last handled messages of this process: at most `count`, none longer ago than `seconds`."""

    def __init__(
        self, *, count: int = 100_000, seconds: float = 3600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if count < 1 or not seconds > 0:
            raise ValueError(f"{count} ids for {seconds:g} s remember nothing")
        self._count = count
        self._seconds = seconds
        self._clock = clock
        self._times: OrderedDict[str, float] = OrderedDict()  # oldest first

    def __len__(self) -> int:
        return len(self._times)

    async def has(self, message_id: str) -> bool:
        """Was this message handled, as far as is remembered?"""
        self._forget()
        return message_id in self._times

    async def add(self, message_id: str) -> None:
        """This message is handled now."""
        self._times[message_id] = self._clock()
        self._times.move_to_end(message_id)
        self._forget()

    def _forget(self) -> None:
        horizon = self._clock() - self._seconds
        while self._times and (len(self._times) > self._count or next(iter(self._times.values())) <= horizon):
            self._times.popitem(last=False)


class Deduplicate:
    """Keeps repeats of a cast from its handler; the bus acknowledges them as done.

    A repeat that comes while the first still runs waits for its end, and runs if that failed. A retry of what failed
    runs. Calls always pass, since a repeated question needs its answer again, as do fanouts, which the broker does
    not repeat, and messages without an id. Only the messages of `procedures` are looked at (None: all casts).

    It belongs last among a bus's hooks, next to the handler. Buses of one process may share one. Without a `Seen` that others
    share, another process that gets the repeat runs it; so does this one after a restart. Any error counts as failed, an
    expected one too: what was refused may be refused again. `repeats` counts what was kept away.
    """

    def __init__(self, procedures: Iterable[Cast[Any]] | None = None, *, seen: Seen | None = None) -> None:
        self._names = None if procedures is None else frozenset(procedure.name for procedure in procedures)
        self._seen = RecentIds() if seen is None else seen
        self._running: dict[str, asyncio.Event] = {}
        self.repeats = 0

    async def __call__(self, envelope: Envelope, forward: Forward) -> None:
        """Forward the envelope unless its message was handled before."""
        if not self._concerns(envelope):
            await forward(envelope)
            return
        message_id = envelope.unique_id
        while (earlier := self._running.get(message_id)) is not None:
            await earlier.wait()
        ended = self._running[message_id] = asyncio.Event()
        try:
            if await self._seen.has(message_id):
                self.repeats += 1
            else:
                await forward(envelope)
                await self._seen.add(message_id)
        finally:
            del self._running[message_id]
            ended.set()

    def _concerns(self, envelope: Envelope) -> bool:
        return (
            envelope.stage is Stage.HANDLE
            and envelope.kind is Kind.CAST
            and 0 < len(envelope.unique_id) <= _ID_LIMIT
            and (self._names is None or envelope.name in self._names)
        )
