"""How a server answers a call: the reply protocol of oslo.messaging, of its time and of ours."""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec import UNSET, Raw

from rpc.dead_letters import printable
from rpc.envelope import Failure, Reply, Request, encode
from rpc.errors import BadMessage, NoSuchMethod, NotConnected, UnsupportedVersion
from rpc.settings import BusSettings
from rpc.transport import Message, Transport, check_size, reply_queue

_log = logging.getLogger(__name__)

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
        msg_id, reply_to, encoded = asked.msg_id, asked.reply_to, encode(result)
        if msg_id is None or reply_to is None:
            raise TypeError(f"{asked.method} is no call")
        is_old = asked.monitor is UNSET
        reply = Reply(
            msg_id=msg_id,
            unique_id=f"{self._id_prefix}{next(self._ids):012x}",
            result=Raw(encoded),
            failure=None if failure is None else encode(failure).decode(),
            ending=UNSET if is_old else True,
        )
        if len(encoded) * 2 + _SMALL > self._limit or failure is not None:
            check_size(reply, self._limit)
        message = Message(
            content=reply, headers={}, ttl=None if deadline is None else max(deadline - time.time(), 0.001)
        )
        await self._publish(reply_to, message)
        if is_old:
            # A client from before 2018 takes the message that says `ending` for the end alone, not for the answer.
            end = Reply(msg_id=msg_id, unique_id=self._next(), ending=True)
            await self._publish(reply_to, Message(content=end, headers={}, ttl=message.ttl))

    async def fail(self, asked: Request, deadline: float | None, failure: Failure) -> None:
        """Tell a caller that its answer could not be sent; raises NotConnected."""
        try:
            await self.send(asked, deadline, None, failure)
        except BadMessage as error:
            # Nothing of it fits: then the caller waits in vain, which is better than asking and failing for ever.
            _log.error("the answer to %s cannot be sent, nor why: %s", asked.method, error)

    async def refuse(self, asked: Request, deadline: float | None, fault: BadMessage) -> None:
        """Tell a caller that its question was not understood."""
        failure = described(fault)
        if isinstance(fault, NoSuchMethod):
            failure = described(fault, module=_DISPATCHER, args=[asked.method[:100]])
        elif isinstance(fault, UnsupportedVersion):
            failure = described(fault, module=_DISPATCHER, args=[asked.version[:20], asked.method[:100]])
        await self.fail(asked, deadline, failure)

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
        if asked.msg_id is None or asked.reply_to is None:
            raise TypeError(f"{asked.method} is no call")
        while True:
            await asyncio.sleep(interval)
            alive = Reply(msg_id=asked.msg_id, unique_id=self._next(), ending=False)
            with suppress(NotConnected):  # then nobody hears; the answer has its own deadline
                await self._publish(asked.reply_to, Message(content=alive, headers={}, ttl=interval))

    async def _publish(self, reply_to: str, message: Message) -> None:
        to = reply_queue(reply_to)
        if not self._transport.post(to, message):
            await self._transport.publish(to, message)

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
