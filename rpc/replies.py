"""The calls of this process that wait for an answer. One table, and one reply queue, per transport."""

import asyncio
import logging
from enum import Enum
from typing import Final

import msgspec

from rpc.envelope import Reply, Request, unpack_reply
from rpc.errors import BadMessage

_log = logging.getLogger(__name__)

_WATCH_INTERVAL: Final = 0.25  # seconds between two looks for calls whose time is near


class Silence(Enum):
    """Why there is no answer."""

    LOST = "the connection was lost, and the question or its answer perhaps with it"
    TIMEOUT = "the deadline passed"
    UNROUTED = "no queue took the question"


Answer = Reply | Silence


class _Pending(msgspec.Struct):
    future: asyncio.Future[Answer]
    ends: float
    alarm: asyncio.TimerHandle | None = None


class Replies:
    """Pending calls by their `_msg_id`, and until when they wait. `stray` counts answers nobody waits for (any more)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: dict[str, _Pending] = {}
        self._is_watching = False
        self.stray = 0

    def expect(self, msg_id: str, ends: float, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Answer]:
        """The future answer to `msg_id`: TIMEOUT at `ends`, by the loop's clock. Whoever expects it must `forget` it."""
        pending = _Pending(loop.create_future(), ends)
        self._pending[msg_id] = pending
        if not self._is_watching:
            self._is_watching = True
            loop.call_soon(self._watch, loop)
        return pending.future

    def forget(self, msg_id: str) -> None:
        """Nobody waits for this answer any more."""
        pending = self._pending.pop(msg_id, None)
        if pending is not None and pending.alarm is not None:
            pending.alarm.cancel()

    def receive(self, content: Request | Reply | bytes) -> None:
        """Hand an answer to the call that waits for it. Never raises: what cannot be read is logged."""
        if isinstance(content, bytes):
            try:
                content = unpack_reply(content, self._limit)
            except BadMessage as error:
                self.stray += 1
                _log.warning("an answer that cannot be read: %s", error)
                return
        if isinstance(content, Reply) and content.ending is not False:
            # An Icehouse server sends a second, empty message (`ending`): it finds nobody waiting and is ignored.
            self._settle(content.msg_id, content)

    def unrouted(self, msg_id: str) -> None:
        """No queue took this question."""
        self._settle(msg_id, Silence.UNROUTED)

    def lost(self) -> None:
        """Wake every pending call: the connection is gone."""
        for msg_id in list(self._pending):
            self._settle(msg_id, Silence.LOST)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give those an alarm whose time is near. An alarm for every call would cost more than most calls wait."""
        if not self._pending:
            self._is_watching = False
            return
        near = loop.time() + 2 * _WATCH_INTERVAL
        for msg_id, pending in self._pending.items():
            if pending.ends < near and pending.alarm is None:
                pending.alarm = loop.call_at(pending.ends, self._settle, msg_id, Silence.TIMEOUT)
        loop.call_later(_WATCH_INTERVAL, self._watch, loop)

    def _settle(self, msg_id: str, answer: Answer) -> None:
        pending = self._pending.pop(msg_id, None)
        if pending is None or pending.future.done():
            self.stray += 1
            return
        if pending.alarm is not None:
            pending.alarm.cancel()
        pending.future.set_result(answer)
