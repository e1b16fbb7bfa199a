# mypy: disable-error-code="import-not-found, untyped-decorator"
"""taskiq with taskiq-aio-pika: a broker without a result backend (there is none over RabbitMQ), so casts only.

It confirms, and acknowledges after the task. Its messages are always persistent, which a transient queue does not mind.
"""

import asyncio
import logging
from typing import Any

from protocol import Board, ClientOrder, Order, Payload, ServerOrder, run, send_all, until_terminated
from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType


def broker_for(order: Order, prefetch: int = 10) -> AioPikaBroker:
    """The broker with one queue."""
    kind = QueueType.QUORUM if order.quorum else QueueType.CLASSIC
    return AioPikaBroker(
        order.url,
        qos=prefetch,
        exchange=Exchange(name=f"{order.queue}.taskiq", durable=order.durable),
        task_queues=[Queue(name=order.queue, type=kind, durable=order.durable)],
        dead_letter_queue=Queue(name=f"{order.queue}.dead", type=kind, durable=order.durable),
    )


async def serve(order: ServerOrder) -> None:
    """Count casts."""
    logging.disable(logging.WARNING)
    board = Board(order.board)
    broker = broker_for(order, order.prefetch)

    @broker.task(task_name="work")
    async def work(payload: dict[str, Any]) -> None:
        board.count(payload["number"])

    broker.is_worker_process = True
    await broker.startup()
    receiver = asyncio.create_task(
        run_receiver_task(broker, max_async_tasks=order.prefetch, max_prefetch=order.prefetch)
    )
    await until_terminated()
    receiver.cancel()
    await asyncio.wait([receiver], timeout=5)
    await broker.shutdown()


async def send(order: ClientOrder) -> None:
    """Cast."""
    broker = broker_for(order)

    @broker.task(task_name="work")
    async def work(payload: dict[str, Any]) -> None:
        raise NotImplementedError("the server does this")

    async def cast(payload: Payload) -> None:
        await work.kiq(payload)

    await broker.startup()
    await send_all(order, cast)
    await broker.shutdown()


if __name__ == "__main__":
    run(serve, send, patterns=("cast",))
