# mypy: disable-error-code="import-not-found"
"""pika as its tutorial has it: a blocking connection per thread, a reply queue per caller, confirms for casts, acks after the work."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from protocol import Board, ClientOrder, Payload, ServerOrder, end_on_sigterm, ready, run, send_all_in_threads


def serve(order: ServerOrder) -> None:
    """Answer calls, count casts and fanouts."""
    board = Board(order.board)
    channel = pika.BlockingConnection(pika.URLParameters(order.url)).channel()
    channel.basic_qos(prefetch_count=order.prefetch)

    def handle(channel: BlockingChannel, method: Any, asked: Any, body: bytes) -> None:
        payload = json.loads(body)
        board.count(payload["number"])
        if asked.reply_to:
            properties = pika.BasicProperties(correlation_id=asked.correlation_id)
            channel.basic_publish("", asked.reply_to, json.dumps(payload).encode(), properties)
        channel.basic_ack(method.delivery_tag)

    channel.queue_declare(order.queue, durable=order.durable, arguments=order.queue_arguments)
    channel.basic_consume(order.queue, handle)
    channel.exchange_declare(order.fanout_exchange, "fanout", auto_delete=True)
    own = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(own, order.fanout_exchange)
    channel.basic_consume(own, handle)
    end_on_sigterm()
    ready()
    channel.start_consuming()


class Caller:
    """The tutorial's RPC client."""

    def __init__(self, order: ClientOrder) -> None:
        self._order = order
        self._connection = pika.BlockingConnection(pika.URLParameters(order.url))
        self._channel = self._connection.channel()
        self._own = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.basic_consume(self._own, self._on_reply, auto_ack=True)
        self._replies: dict[str, bytes] = {}

    def call(self, payload: Payload) -> Any:
        """Send, and handle what comes until it is the reply."""
        correlation = str(uuid.uuid4())
        properties = pika.BasicProperties(
            correlation_id=correlation, reply_to=self._own, delivery_mode=self._order.delivery_mode
        )
        self._channel.basic_publish("", self._order.queue, json.dumps(payload).encode(), properties)
        while correlation not in self._replies:
            self._connection.process_data_events(time_limit=None)
        return json.loads(self._replies.pop(correlation))

    def _on_reply(self, _channel: BlockingChannel, _method: Any, properties: Any, body: bytes) -> None:
        self._replies[properties.correlation_id] = body


def caster(order: ClientOrder) -> Callable[[Payload], None]:
    """Sends a cast or a fanout and waits for its confirm."""
    channel = pika.BlockingConnection(pika.URLParameters(order.url)).channel()
    channel.confirm_delivery()
    exchange = order.fanout_exchange if order.op == "fanout" else ""
    properties = pika.BasicProperties(delivery_mode=order.delivery_mode)
    return lambda payload: channel.basic_publish(exchange, order.queue, json.dumps(payload).encode(), properties)


def send(order: ClientOrder) -> None:
    """Call, cast or fan out, each message in flight by a thread with a connection of its own."""
    send_all_in_threads(order, lambda: Caller(order).call if order.op == "call" else caster(order))


if __name__ == "__main__":
    run(serve, send, patterns=("call", "cast", "fanout"))
