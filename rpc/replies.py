"""The calls of this process that wait for an answer. One table, and one reply queue, per transport."""

import asyncio
import logging
from enum import Enum

from rpc.envelope import Reply, unpack_reply
from rpc.errors import BadMessage

_log = logging.getLogger(__name__)


class Silence(Enum):
    """Why there is no answer."""

    LOST = "the connection was lost, and the question or its answer perhaps with it"
    TIMEOUT = "the deadline passed"


Answer = Reply | Silence


class Replies:
    """Pending calls by their `_msg_id`. `stray` counts answers nobody waits for (any more)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: dict[str, asyncio.Future[Answer]] = {}
        self.stray = 0

    def expect(self, msg_id: str) -> asyncio.Future[Answer]:
        """The future answer to `msg_id`; whoever expects it must `forget` it."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[msg_id] = future
        return future

    def forget(self, msg_id: str) -> None:
        """Nobody waits for this answer any more."""
        self._pending.pop(msg_id, None)

    def receive(self, body: bytes) -> None:
        """Hand an answer to the call that waits for it. Never raises: what cannot be read is logged."""
        try:
            reply = unpack_reply(body, self._limit)
        except BadMessage as error:
            self.stray += 1
            _log.warning("an answer that cannot be read: %s", error)
            return
        # An Icehouse server sends a second, empty message (`ending`): it finds nobody waiting and is ignored.
        self._settle(reply.msg_id, reply)

    def lost(self) -> None:
        """Wake every pending call: the connection is gone."""
        for msg_id in list(self._pending):
            self._settle(msg_id, Silence.LOST)

    def _settle(self, msg_id: str, answer: Answer) -> None:
        future = self._pending.get(msg_id)
        if future is None or future.done():
            self.stray += 1
        else:
            future.set_result(answer)
