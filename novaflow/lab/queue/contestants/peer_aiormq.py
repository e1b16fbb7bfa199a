# mypy: disable-error-code="import-not-found"
"""aiormq, the driver below aio-pika, by those who want it fast: uvloop, orjson, no waiting for the socket to drain.

Casts are confirmed; calls and replies are not, as the reply proves delivery.
"""

import asyncio
from typing import Any

import aiormq
import orjson
import uvloop
from aiormq import spec
from protocol import Board, ClientOrder, Payload, ServerOrder, run, send_all, until_terminated


async def serve(order: ServerOrder) -> None:
    """Answer calls, count casts and fanouts."""
    board = Board(order.board)
    connection = await aiormq.connect(order.url)
    channel: Any = await connection.channel(publisher_confirms=False)
    await channel.basic_qos(prefetch_count=order.prefetch)

    async def handle(message: Any) -> None:
        payload = orjson.loads(message.body)
        board.count(payload["number"])
        asked = message.header.properties
        if asked.reply_to:
            properties = spec.Basic.Properties(correlation_id=asked.correlation_id)
            await channel.basic_publish(
                orjson.dumps(payload), routing_key=asked.reply_to, properties=properties, wait=False
            )
        await channel.basic_ack(message.delivery.delivery_tag, wait=False)

    await channel.queue_declare(order.queue, durable=order.durable, arguments=order.queue_arguments)
    await channel.basic_consume(order.queue, handle)
    await channel.exchange_declare(order.fanout_exchange, exchange_type="fanout", auto_delete=True)
    own = (await channel.queue_declare(exclusive=True)).queue
    await channel.queue_bind(own, order.fanout_exchange)
    await channel.basic_consume(own, handle)
    await until_terminated()
    await connection.close()


async def send(order: ClientOrder) -> None:
    """Call, cast or fan out."""
    connection = await aiormq.connect(order.url)
    channel: Any = await connection.channel(publisher_confirms=order.op != "call")
    own = (await channel.queue_declare(exclusive=True)).queue
    exchange = order.fanout_exchange if order.op == "fanout" else ""
    if exchange:
        await channel.exchange_declare(exchange, exchange_type="fanout", auto_delete=True)
    replies: dict[str, asyncio.Future[bytes]] = {}
    calls = iter(range(2**62))

    async def on_reply(message: Any) -> None:
        replies.pop(message.header.properties.correlation_id or "").set_result(message.body)

    await channel.basic_consume(own, on_reply, no_ack=True)

    async def call(payload: Payload) -> Any:
        correlation = str(next(calls))
        reply = replies[correlation] = asyncio.get_running_loop().create_future()
        properties = spec.Basic.Properties(correlation_id=correlation, reply_to=own, delivery_mode=order.delivery_mode)
        await channel.basic_publish(orjson.dumps(payload), routing_key=order.queue, properties=properties, wait=False)
        return orjson.loads(await reply)

    async def cast(payload: Payload) -> None:
        properties = spec.Basic.Properties(delivery_mode=order.delivery_mode)
        await channel.basic_publish(
            orjson.dumps(payload), exchange=exchange, routing_key=order.queue, properties=properties, wait=False
        )

    await send_all(order, call if order.op == "call" else cast)
    await connection.close()


if __name__ == "__main__":
    run(serve, send, patterns=("call", "cast", "fanout"), loop=uvloop.new_event_loop)
