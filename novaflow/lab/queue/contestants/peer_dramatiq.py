# mypy: disable-error-code="import-not-found"
"""dramatiq: a worker of eight threads, its default, and confirms on. No results over RabbitMQ, and durable queues only."""

import logging
import os
import threading

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from protocol import Board, ClientOrder, Order, Payload, ServerOrder, end_on_sigterm, ready, run, send_all_in_threads


def actor_of(order: Order, board: Board | None = None) -> tuple[RabbitmqBroker, dramatiq.Actor]:
    """The broker and its one actor."""
    logging.disable(logging.WARNING)
    broker = RabbitmqBroker(url=order.url, confirm_delivery=True)

    def work(payload: Payload) -> None:
        if board is not None:
            board.count(payload["number"])

    return broker, dramatiq.actor(work, broker=broker, queue_name=order.queue)


def serve(order: ServerOrder) -> None:
    """Count casts."""
    broker, _ = actor_of(order, Board(order.board))
    dramatiq.Worker(broker).start()
    end_on_sigterm()
    ready()
    threading.Event().wait()


def send(order: ClientOrder) -> None:
    """Cast; an actor may be shared by threads, each of which gets a connection."""
    _, actor = actor_of(order)

    def cast(payload: Payload) -> None:
        actor.send(payload)

    send_all_in_threads(order, lambda: cast)
    os._exit(0)


if __name__ == "__main__":
    run(serve, send, patterns=("cast",), durabilities=("durable",))
