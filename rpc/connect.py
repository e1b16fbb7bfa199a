"""From a URL to a connected transport."""

from rpc.address import SCHEMES, Address
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.settings import BusSettings
from rpc.transport import Transport


async def open_transport(url: str | Address, settings: BusSettings) -> Transport:
    """Connect to `memory://`, or to a broker by its Address or URL (see rpc.address).

    Waits for a broker that is not there yet, at most the settings' publish_timeout. Raises NotConnected when it stays
    away, Refused when it does not let us in, Misconfigured or another ValueError for what cannot be connected to; neither repeats a password.
    """
    scheme = "" if isinstance(url, Address) else url.partition("://")[0].lower()
    if scheme == "memory":
        return MemoryTransport(MemoryBroker(), settings)
    if isinstance(url, Address) or scheme in SCHEMES:
        # Imported late: a cloud in one process starts sooner without the AMQP library.
        from rpc.amqp import AmqpTransport

        return await AmqpTransport.open(url if isinstance(url, Address) else Address.parse(url), settings)
    raise ValueError(f"a bus URL begins with memory://, amqp:// or amqps://, not with {scheme or 'nothing'}://")
