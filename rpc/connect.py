"""From a URL to a connected transport."""

from urllib.parse import urlsplit

from rpc.memory import MemoryBroker, MemoryTransport
from rpc.settings import BusSettings
from rpc.transport import Transport


async def open_transport(url: str, settings: BusSettings) -> Transport:
    """Connect to `memory://` or `amqp[s]://user:password@host:port/vhost`.

    Waits for a broker that is not there yet, at most the settings' publish_timeout. Raises NotConnected when it stays
    away, Refused when it does not let us in, ValueError for any other URL, which it does not repeat: it may hold a password.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryTransport(MemoryBroker(), settings)
    if scheme in ("amqp", "amqps"):
        # Imported late: a cloud in one process starts sooner without the AMQP library.
        from rpc.amqp import AmqpTransport

        return await AmqpTransport.open(url, settings)
    raise ValueError(f"a bus URL begins with memory://, amqp:// or amqps://, not with {scheme or 'nothing'}://")
