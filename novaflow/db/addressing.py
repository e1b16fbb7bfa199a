"""Which server has which address: at most one server each, one per network."""

from typing import Final

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Network
from novaflow.db.inserts import insert_once
from novaflow.db.schema.compute import addresses
from novaflow.models import Address
from novaflow.network import first_free, preferred

_TAKE: Final = insert(addresses)
_FIELDS: Final = Address.__struct_fields__
_OWN: Final = select(*(addresses.c[name] for name in _FIELDS)).where(
    addresses.c.server_id == bindparam("b_server_id"), addresses.c.network == bindparam("b_network")
)
_TAKEN: Final = select(addresses.c.ip).where(addresses.c.network == bindparam("b_network"))


async def assign(connection: AsyncConnection, server_id: str, network: Network) -> Address:
    """The server's address on the network: the one it has, or a free one; raises Conflict when there is none."""
    for wanted in preferred(network, server_id):
        if await _take(connection, server_id, wanted):
            return wanted
        own = await _own(connection, server_id, network)
        if own is not None:
            return own
    while True:
        taken = {ip for (ip,) in await connection.execute(_TAKEN, {"b_network": network.name})}
        wanted = first_free(network, taken)
        if await _take(connection, server_id, wanted):
            return wanted


async def _take(connection: AsyncConnection, server_id: str, wanted: Address) -> bool:
    values = {name: getattr(wanted, name) for name in _FIELDS} | {"server_id": server_id}
    return await insert_once(connection, _TAKE, values)


async def _own(connection: AsyncConnection, server_id: str, network: Network) -> Address | None:
    row = (await connection.execute(_OWN, {"b_server_id": server_id, "b_network": network.name})).one_or_none()
    return None if row is None else Address(**dict(zip(_FIELDS, row, strict=True)))
