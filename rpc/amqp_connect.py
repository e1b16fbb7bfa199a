"""Entering one node of a broker: socket, TLS, authentication and virtual host, by aio_pika."""

import asyncio
import logging
import os
import socket
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import spec
from aiormq.channel import Channel
from aiormq.connection import Connection
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from rpc.address import Address, Node
from rpc.amqp_libraries import why
from rpc.amqp_path import SessionLost
from rpc.amqp_wire import Wire, WireFactory
from rpc.errors import Refused
from rpc.tls import refusal

_log = logging.getLogger(__name__)

REFUSALS: Final = (
    AuthenticationError,
    ProbableAuthenticationError,
    ConnectionNotAllowed,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
)
_OPEN_OK: Final = spec.Connection.OpenOk.name


@dataclass(frozen=True)
class Opened:
    """A connection; with its wire, if it goes over one of ours."""

    connection: aio_pika.abc.AbstractConnection
    wire: Wire | None


async def enter(address: Address, node: Node, deadline: float, *, plain: bool) -> Opened:
    """Connect to one node. `plain` leaves the socket to aiormq.

    Raises SessionLost when the node is not there, Refused when it does not let us in, Misconfigured for files that cannot be used.
    """
    now = address.entered()
    context = None if now.tls is None else now.tls.context()
    options: dict[str, Any] = {}
    factory = None
    if not plain and fits():
        factory = WireFactory(context, now.heartbeat)
        options["connection_class"] = wired(factory)
    try:
        async with asyncio.timeout_at(deadline):
            connection = await aio_pika.connect(
                now.url(node),
                ssl_context=context,
                client_properties={"connection_name": f"{socket.gethostname()}:{os.getpid()}"},
                **options,
            )
    except REFUSALS as error:
        raise Refused(f"the broker refused the connection: {why(error)}") from None
    except InvalidFrameError as error:
        if _OPEN_OK not in str(error):
            raise SessionLost from error
        # aiormq does not say what the broker said, but this is where it objects to a virtual host.
        raise Refused(f"the broker does not let this user into the virtual host {now.vhost!r}, if it exists") from None
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        told = "" if now.tls is None else refusal(error)
        if told:
            raise Refused(f"no TLS with the broker at {node.where}: {told}") from None
        raise SessionLost from error
    return Opened(connection, None if factory is None else factory.wire)


def wired(factory: WireFactory) -> type[aio_pika.Connection]:
    """A connection of aio_pika's over a socket of ours."""

    class Wired(aio_pika.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            # aio_pika hands what is in here to aiormq's Connection, which takes a factory; it has no argument of its own for it.
            self.kwargs["transport_factory"] = factory

    return Wired


@cache
def fits() -> bool:
    """Do the installed aio_pika and aiormq have what the hot path holds on to? Says once if they do not."""
    missing = [
        name
        for name, is_there in {
            "aio_pika.Connection.connect": hasattr(aio_pika.Connection, "connect"),
            "aiormq.Connection(transport_factory=)": "transport_factory" in Connection.__init__.__code__.co_varnames,
            "aiormq.Channel.on_consumer_cancel_callbacks": "on_consumer_cancel_callbacks"
            in Channel.__init__.__code__.co_names,
        }.items()
        if not is_there
    ]
    if missing:
        _log.warning("the bus takes aiormq's slower path: this version lacks %s", ", ".join(missing))
    return not missing
