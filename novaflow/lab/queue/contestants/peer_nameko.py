# mypy: disable-error-code="import-not-found, untyped-decorator"
"""nameko: a service with an RPC entrypoint for calls and event handlers for casts and fanouts, all confirmed (its default).

Its queues are always durable; `transient` here means messages of delivery mode 1, which are not written to disk either.
The client is a pool of standalone proxies, one for each call in flight, in green threads.
"""

import eventlet

eventlet.monkey_patch()

import logging  # noqa: E402  # eventlet comes first
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from nameko.amqp.publish import Publisher  # noqa: E402
from nameko.containers import ServiceContainer  # noqa: E402
from nameko.events import BROADCAST, event_handler  # noqa: E402
from nameko.rpc import rpc  # noqa: E402
from nameko.standalone.events import event_dispatcher  # noqa: E402
from nameko.standalone.rpc import ClusterRpcProxy  # noqa: E402
from protocol import Board, ClientOrder, Order, Payload, ServerOrder, end_on_sigterm, ready, run, send_all_in_threads  # noqa: E402


def config(order: Order, workers: int = 10) -> dict[str, Any]:
    """The configuration file of a service."""
    return {"AMQP_URI": order.url, "serializer": "json", "max_workers": workers, "rpc_exchange": f"{order.queue}-rpc"}


def service(order: ServerOrder) -> type:
    """The service class; its names come from the order."""
    board = Board(order.board)

    class Service:
        name = order.queue

        @rpc
        def echo(self, payload: Payload) -> Payload:
            board.count(payload["number"])
            return payload

        @event_handler(order.queue, "cast")
        def work(self, payload: Payload) -> None:
            board.count(payload["number"])

        @event_handler(order.queue, "fanout", handler_type=BROADCAST, reliable_delivery=False)
        def hear(self, payload: Payload) -> None:
            board.count(payload["number"])

    return Service


def serve(order: ServerOrder) -> None:
    """Answer calls, count casts and fanouts."""
    Publisher.delivery_mode = order.delivery_mode
    container = ServiceContainer(service(order), config=config(order, workers=order.prefetch))
    container.start()
    end_on_sigterm()
    ready()
    container.wait()


def sender(order: ClientOrder) -> Callable[[Payload], Any]:
    """What one green thread sends with."""
    if order.op == "call":
        service_proxy = getattr(ClusterRpcProxy(config(order)).start(), order.queue)
        return lambda payload: service_proxy.echo(payload)
    dispatch = event_dispatcher(config(order), delivery_mode=order.delivery_mode)
    return lambda payload: dispatch(order.queue, order.op, payload)


def send(order: ClientOrder) -> None:
    """Call, cast or fan out."""
    logging.disable(logging.WARNING)
    Publisher.delivery_mode = order.delivery_mode
    send_all_in_threads(order, lambda: sender(order))


if __name__ == "__main__":
    run(serve, send, patterns=("call", "cast", "fanout"), durabilities=("transient", "durable"))
