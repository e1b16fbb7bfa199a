# mypy: disable-error-code="import-not-found"
"""oslo.messaging as OpenStack's services use it: the rabbit driver, the threading executor, its defaults otherwise.

It confirms every message, and acknowledges a request when it is about to run it. `durable` is `amqp_durable_queues`,
`quorum` is `rabbit_quorum_queue`; messages are always sent persistent, which a transient queue does not mind.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_config import cfg
from protocol import Board, ClientOrder, Order, Payload, ServerOrder, end_on_sigterm, ready, run, send_all_in_threads


def transport(order: Order, prefetch: int = 0) -> Any:
    """The transport, configured as a service's file would."""
    logging.disable(logging.WARNING)
    conf = cfg.CONF  # the one of the process: the driver registers options of its own there
    conf([])
    url = "rabbit" + order.url[order.url.index(":") :]
    made = oslo_messaging.get_rpc_transport(conf, url=url)
    conf.set_override("amqp_durable_queues", order.durable, "oslo_messaging_rabbit")
    conf.set_override("rabbit_quorum_queue", order.quorum, "oslo_messaging_rabbit")
    conf.set_override("rabbit_qos_prefetch_count", prefetch, "oslo_messaging_rabbit")
    return made


def target(order: Order, **more: str) -> Any:
    """The address; with an exchange of the order's own, as that is durable or not, like the queue."""
    return oslo_messaging.Target(exchange=f"{order.queue}.exchange", topic=order.queue, **more)


class Endpoint:
    """What the server answers to."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, board: Board) -> None:
        self._board = board

    def echo(self, _context: dict[str, Any], payload: Payload) -> Payload:
        """Answer a call."""
        self._board.count(payload["number"])
        return payload

    def work(self, _context: dict[str, Any], payload: Payload) -> None:
        """Handle a cast or a fanout."""
        self._board.count(payload["number"])


def serve(order: ServerOrder) -> None:
    """Answer calls, count casts and fanouts."""
    server = oslo_messaging.get_rpc_server(
        transport(order, order.prefetch),
        target(order, server=f"host-{os.getpid()}"),
        [Endpoint(Board(order.board))],
        executor="threading",
    )
    server.start()
    end_on_sigterm()
    ready()
    server.wait()


def send(order: ClientOrder) -> None:
    """Call, cast or fan out; a client may be shared by threads."""
    client = oslo_messaging.get_rpc_client(transport(order), target(order, version="1.0"))
    if order.op == "fanout":
        client = client.prepare(fanout=True)
    ways: dict[str, Callable[[Payload], Any]] = {
        "call": lambda payload: client.call({}, "echo", payload=payload),
        "cast": lambda payload: client.cast({}, "work", payload=payload),
    }
    send_all_in_threads(order, lambda: ways.get(order.op, ways["cast"]))


if __name__ == "__main__":
    run(serve, send, patterns=("call", "cast", "fanout"))
