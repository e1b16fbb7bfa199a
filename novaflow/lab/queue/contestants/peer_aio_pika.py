# mypy: disable-error-code="import-not-found"
"""aio-pika as its tutorial has it: a robust connection, a reply queue of the client's own, JSON, confirms, acks after the work.

With CONTESTANT_TUNED set, what a user in a hurry would change: uvloop, orjson, and no confirms where a reply proves delivery.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from typing import Any

from aio_pika import ExchangeType, Message, connect_robust
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from protocol import Board, ClientOrder, Order, Payload, ServerOrder, run, send_all, until_terminated

TUNED = "CONTESTANT_TUNED" in os.environ


def standard_json(value: Any) -> bytes:
    """JSON as the standard library makes it."""
    return json.dumps(value).encode()


loads: Callable[[bytes], Any] = json.loads
dumps: Callable[[Any], bytes] = standard_json
loop: Callable[[], asyncio.AbstractEventLoop] | None = None
if TUNED:
    import orjson
    import uvloop

    dumps, loads, loop = orjson.dumps, orjson.loads, uvloop.new_event_loop


async def fanout_exchange(channel: AbstractChannel, order: Order) -> AbstractExchange:
    """The exchange that every server hears."""
    return await channel.declare_exchange(order.fanout_exchange, ExchangeType.FANOUT, auto_delete=True)


async def serve(order: ServerOrder) -> None:
    """Answer calls, count casts and fanouts."""
    board = Board(order.board)
    async with await connect_robust(order.url) as connection:
        channel = await connection.channel(publisher_confirms=not TUNED)
        await channel.set_qos(prefetch_count=order.prefetch)

        async def handle(message: AbstractIncomingMessage) -> None:
            async with message.process():
                payload = loads(message.body)
                board.count(payload["number"])
                if message.reply_to:
                    reply = Message(dumps(payload), correlation_id=message.correlation_id)
                    await channel.default_exchange.publish(reply, routing_key=message.reply_to)

        queue = await channel.declare_queue(order.queue, durable=order.durable, arguments=order.queue_arguments)
        await queue.consume(handle)
        own = await channel.declare_queue(exclusive=True)
        await own.bind(await fanout_exchange(channel, order))
        await own.consume(handle)
        await until_terminated()


async def send(order: ClientOrder) -> None:
    """Call, cast or fan out."""
    async with await connect_robust(order.url) as connection:
        channel = await connection.channel(publisher_confirms=not TUNED or order.op != "call")
        replies: dict[str, asyncio.Future[bytes]] = {}

        async def on_reply(message: AbstractIncomingMessage) -> None:
            replies.pop(message.correlation_id or "").set_result(message.body)

        own = await channel.declare_queue(exclusive=True)
        await own.consume(on_reply, no_ack=True)
        exchange = await fanout_exchange(channel, order) if order.op == "fanout" else channel.default_exchange

        async def call(payload: Payload) -> Any:
            correlation = str(uuid.uuid4())
            reply = replies[correlation] = asyncio.get_running_loop().create_future()
            message = Message(
                dumps(payload), correlation_id=correlation, reply_to=own.name, delivery_mode=order.delivery_mode
            )
            await exchange.publish(message, routing_key=order.queue)
            return loads(await reply)

        async def cast(payload: Payload) -> None:
            await exchange.publish(Message(dumps(payload), delivery_mode=order.delivery_mode), routing_key=order.queue)

        await send_all(order, call if order.op == "call" else cast)


if __name__ == "__main__":
    run(serve, send, patterns=("call", "cast", "fanout"), loop=loop)
