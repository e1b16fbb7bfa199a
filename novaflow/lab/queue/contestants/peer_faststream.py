# mypy: disable-error-code="import-not-found, untyped-decorator"
"""FastStream's RabbitMQ broker as its documentation has it: subscribers with types, `request` for calls, `publish` for casts."""

import logging
from typing import Any

from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from protocol import Board, ClientOrder, Order, Payload, ServerOrder, run, send_all, until_terminated


def queue(order: Order, suffix: str) -> RabbitQueue:
    """One of the two queues that the servers share."""
    kind = QueueType.QUORUM if order.quorum else QueueType.CLASSIC
    return RabbitQueue(f"{order.queue}.{suffix}", queue_type=kind, durable=order.durable)


def fanout_exchange(order: Order) -> RabbitExchange:
    """The exchange that every server hears."""
    return RabbitExchange(order.fanout_exchange, type=ExchangeType.FANOUT, auto_delete=True)


async def serve(order: ServerOrder) -> None:
    """Answer calls, count casts and fanouts."""
    board = Board(order.board)
    broker = RabbitBroker(order.url, logger=None, default_channel=Channel(prefetch_count=order.prefetch))
    own = RabbitQueue("", durable=False, exclusive=True)

    @broker.subscriber(queue(order, "call"))
    async def echo(payload: dict[str, Any]) -> dict[str, Any]:
        board.count(payload["number"])
        return payload

    @broker.subscriber(queue(order, "cast"))
    @broker.subscriber(own, fanout_exchange(order))
    async def work(payload: dict[str, Any]) -> None:
        board.count(payload["number"])

    async with broker:
        await broker.start()
        await until_terminated()


async def send(order: ClientOrder) -> None:
    """Call, cast or fan out."""
    logging.disable(logging.WARNING)
    async with RabbitBroker(order.url, logger=None) as broker:
        await broker.start()
        exchange = fanout_exchange(order)

        async def call(payload: Payload) -> Any:
            answer = await broker.request(payload, f"{order.queue}.call", timeout=30, persist=order.durable)
            return await answer.decode()

        async def cast(payload: Payload) -> None:
            await broker.publish(payload, f"{order.queue}.cast", persist=order.durable)

        async def fanout(payload: Payload) -> None:
            await broker.publish(payload, exchange=exchange, persist=order.durable)

        await send_all(order, {"call": call, "cast": cast, "fanout": fanout}[order.op])


if __name__ == "__main__":
    run(serve, send, patterns=("call", "cast", "fanout"))
