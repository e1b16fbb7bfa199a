"""How a server answers a call: the reply protocol of oslo.messaging, of its time and of ours."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec import UnsetType

from rpc.dead_letters import printable
from rpc.envelope import Failure, Reply, Request, encode, reply_of
from rpc.errors import BadMessage, NoSuchMethod, NotConnected, UnsupportedVersion
from rpc.settings import BusSettings
from rpc.transport import Message, Transport, check_size, reply_queue

_DISPATCHER: Final = "oslo_messaging.rpc.dispatcher"  # where oslo.messaging has the errors that its clients look for
_SMALL: Final = 4096  # bytes of a reply besides its result, at most
_SHORTEST_MONITOR: Final = 2.0  # seconds; oslo.messaging sends no heartbeats for less


class Answers:
    """Sends replies. Each has an id of its own: oslo.messaging's clients drop the second message with the same."""

    def __init__(self, transport: Transport, settings: BusSettings) -> None:
        self._transport = transport
        self._limit = settings.max_message_bytes
        self._id_prefix = secrets.token_hex(10)
        self._ids = itertools.count(1)

    async def send(self, asked: Request, deadline: float | None, result: object, failure: Failure | None) -> None:
        """Answer a call; raises BadMessage or TypeError when the result cannot travel, NotConnected."""
        encoded = encode(result)
        is_old = isinstance(asked.monitor, UnsetType)
        reply = reply_of(
            asked.msg_id,
            f"{self._id_prefix}{next(self._ids):012x}",
            result=encoded,
            failure=failure,
            ending=None if is_old else True,
        )
        if len(encoded) * 2 + _SMALL > self._limit or failure is not None:
            check_size(reply, self._limit)
        await self._publish(asked, reply, deadline)
        if is_old:
            # A client from before 2018 takes the message that says `ending` for the end alone, not for the answer.
            await self._publish(asked, reply_of(asked.msg_id, self._next()), deadline)

    async def refuse(self, asked: Request, deadline: float | None, fault: BadMessage) -> None:
        """Tell a caller that its question was not understood."""
        failure = described(fault)
        if isinstance(fault, NoSuchMethod):
            failure = described(fault, module=_DISPATCHER, args=[asked.method[:100]])
        elif isinstance(fault, UnsupportedVersion):
            failure = described(fault, module=_DISPATCHER, args=[asked.version[:20], asked.method[:100]])
        await self.send(asked, deadline, None, failure)

    @asynccontextmanager
    async def signs_of_life(self, asked: Request) -> AsyncIterator[None]:
        """Tell a caller that monitors its call, twice in the time it gives, that the block still runs."""
        seconds = asked.monitor
        if not isinstance(seconds, float | int) or not _SHORTEST_MONITOR <= seconds < float("inf"):
            yield
            return
        beating = asyncio.create_task(self._beat(asked, seconds / 2), name=f"signs of life of {asked.method}")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait([beating])

    async def _beat(self, asked: Request, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            alive = reply_of(asked.msg_id, self._next(), ending=False)
            with suppress(NotConnected):  # then nobody hears; the answer has its own deadline
                await self._publish(asked, alive, time.time() + interval)

    async def _publish(self, asked: Request, reply: Reply, deadline: float | None) -> None:
        if asked.reply_to is None:
            raise TypeError(f"{asked.method} is no call")
        ttl = None if deadline is None else max(deadline - time.time(), 0.001)
        await self._transport.publish(reply_queue(asked.reply_to), Message(content=reply, headers={}, ttl=ttl))

    def _next(self) -> str:
        return f"{self._id_prefix}{next(self._ids):012x}"


def described(
    error: Exception,
    code: str | None = None,
    fields: dict[str, object] | None = None,
    *,
    module: str = "",
    args: list[object] | None = None,
) -> Failure:
    """An error as it crosses; `code` and `fields` are for ErrorCodec, `args` what oslo.messaging makes it again with."""
    message = printable(str(error))
    return Failure(
        type_name=type(error).__name__,
        module=module or type(error).__module__,
        message=message,
        code=code,
        kwargs=fields or {},
        # oslo.messaging makes an error again as class(*args, **kwargs).
        args=args if args is not None else [] if code else [message],
    )
