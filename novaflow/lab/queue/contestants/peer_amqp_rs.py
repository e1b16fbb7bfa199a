# mypy: disable-error-code="import-not-found"
"""amqp-rs, a client written in Rust with an asyncio face: casts and calls confirmed, acks after the work.

Its queues are always durable, but its messages transient: this release does not export the delivery modes. So `transient` is
all it can do, and nothing is written to disk.
"""

import json
import os
from typing import Any
from urllib.parse import unquote, urlsplit

from amqp_rs import AsyncEventbus, Config, ConfigOptions, QoSConfig
from protocol import Board, ClientOrder, Order, Payload, ServerOrder, run, send_all, until_terminated


def bus(order: Order, prefetch: int) -> AsyncEventbus:
    """The bus, with names from the order."""
    parts = urlsplit(order.url)
    names = ConfigOptions(f"{order.queue}.cast", f"{order.queue}.exchange", f"{order.queue}.call")
    config = Config(
        parts.hostname,
        parts.port or 5672,
        unquote(parts.username or "guest"),
        unquote(parts.password or "guest"),
        unquote(parts.path[1:]) or "/",
        names,
        None,
    )
    quality = QoSConfig(
        pub_confirm=True,
        rpc_client_confirm=True,
        rpc_server_confirm=False,
        sub_auto_ack=False,
        rpc_server_auto_ack=False,
        rpc_client_auto_ack=True,
        sub_prefetch=prefetch,
        rpc_server_prefetch=prefetch,
        rpc_client_prefetch=prefetch,
    )
    return AsyncEventbus(config, quality)


async def serve(order: ServerOrder) -> None:
    """Answer calls, count casts."""
    board = Board(order.board)
    eventbus = bus(order, order.prefetch)

    def counted(message: Any) -> Payload:
        payload: Payload = json.loads(bytes(message.body))
        board.count(payload["number"])
        return payload

    async def echo(message: Any) -> bytes:
        return json.dumps(counted(message)).encode()

    async def work(message: Any) -> None:
        counted(message)

    await eventbus.provide_resource("echo", echo)
    await eventbus.subscribe(f"{order.queue}.work", "work", work)
    await until_terminated()
    os._exit(0)


async def send(order: ClientOrder) -> None:
    """Call or cast."""
    eventbus = bus(order, max(64, order.in_flight))

    async def call(payload: Payload) -> Any:
        body = json.dumps(payload).encode()
        return json.loads(bytes(await eventbus.rpc_client(f"{order.queue}.exchange", "echo", body)))

    async def cast(payload: Payload) -> None:
        await eventbus.publish(f"{order.queue}.work", "work", json.dumps(payload).encode())

    await send_all(order, call if order.op == "call" else cast)
    os._exit(0)


if __name__ == "__main__":
    run(serve, send, durabilities=("transient",))
