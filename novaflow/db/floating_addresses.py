"""Addresses that projects keep and give to servers. Each exists once; a project's are counted with its row of usages held."""

import builtins
from collections.abc import Iterable, Sequence
from functools import partial
from ipaddress import ip_network
from typing import Any, Final

from sqlalchemy import bindparam, delete, false, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import limits, usages
from novaflow.db.database import Database
from novaflow.db.ids import new_uuid
from novaflow.db.inserts import insert_once
from novaflow.db.schema.compute import servers
from novaflow.db.schema.networking import floating_addresses
from novaflow.errors import Conflict, Invalid, Missing, NotFound
from novaflow.models import FloatingAddress
from novaflow.quotas import QuotaLimits, Usage, refusal

NONE_LEFT: Final = "No more floating IPs available."
NOT_ASSOCIATED: Final = "Floating IP {} is not associated with instance {}."
_FIELDS: Final = FloatingAddress.__struct_fields__
_ALL: Final = select(*(floating_addresses.c[name] for name in _FIELDS)).order_by(floating_addresses.c.id)
_BY_UUID: Final = _ALL.where(floating_addresses.c.uuid == bindparam("b_uuid"))
_TAKEN: Final = select(floating_addresses.c.ip)
_COUNT: Final = select(func.count()).where(floating_addresses.c.project_id == bindparam("b_project"))
_ADD: Final = insert(floating_addresses)
_RELEASE: Final = delete(floating_addresses).where(floating_addresses.c.id == bindparam("b_id"))
_IS_IP: Final = floating_addresses.c.ip == bindparam("b_ip")
_GIVE: Final = (
    update(floating_addresses)
    .where(_IS_IP, floating_addresses.c.project_id == bindparam("b_project"))
    .values(server_id=bindparam("b_server"), fixed_ip=bindparam("b_fixed"))
)
_TAKE: Final = update(floating_addresses).values(server_id=None, fixed_ip=None)
_TAKE_ONE: Final = _TAKE.where(_IS_IP, floating_addresses.c.server_id == bindparam("b_server"))
_TAKE_ALL: Final = _TAKE.where(floating_addresses.c.server_id == bindparam("b_server"))
_SERVER: Final = (
    select(servers.c.project_id, servers.c.addresses)
    .where(servers.c.id == bindparam("b_server"), servers.c.is_deleted == false())
    .with_for_update()
)


class FloatingAddresses:
    """The floating addresses of all projects, in the database; `pool` is the network that they are from, in CIDR."""

    def __init__(self, db: Database, pool: str) -> None:
        self._db = db
        self._pool = pool

    async def allocate(self, project_id: str, defaults: QuotaLimits) -> FloatingAddress:
        """The lowest address that nobody has, for this project. Raises QuotaExceeded, Missing when there is none."""
        work = partial(self._allocate, uuid=new_uuid(), project_id=project_id, defaults=defaults)
        return _address_of(await self._db.write(work))

    async def list(self, project_id: str | None = None) -> Sequence[FloatingAddress]:
        """The addresses of one project, or all that anyone has."""
        return await self._find(_ALL if project_id is None else _ALL.where(_is_of(project_id)))

    async def get(self, address_id: int) -> FloatingAddress:
        """One address. Raises NotFound."""
        found = await self._find(_ALL.where(floating_addresses.c.id == address_id))
        if not found:
            raise NotFound(kind="Floating IP", key=str(address_id))
        return found[0]

    async def at(self, ip: str) -> FloatingAddress:
        """The address that is written so. Raises NotFound."""
        found = await self._find(_ALL.where(floating_addresses.c.ip == ip))
        if not found:
            raise NotFound(kind="Floating IP", key=ip)
        return found[0]

    async def of_servers(self, server_ids: Sequence[str]) -> dict[str, builtins.list[FloatingAddress]]:
        """What these servers have, by server."""
        found: dict[str, builtins.list[FloatingAddress]] = {}
        if server_ids:
            for address in await self._find(_ALL.where(floating_addresses.c.server_id.in_(server_ids))):
                found.setdefault(address.server_id or "", []).append(address)
        return found

    async def release(self, address_id: int) -> None:
        """Give an address back, whoever has it. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_RELEASE, {"b_id": address_id})).rowcount == 0:
                raise NotFound(kind="Floating IP", key=str(address_id))

        await self._db.write(work)

    async def associate(self, ip: str, server_id: str, fixed_ip: str | None = None) -> None:
        """Let an address of the server's project stand for one of the server's, its first unless said otherwise.

        One that stood for another is taken from that. Raises NotFound for either, Invalid when the server has no such address.
        """
        work = partial(_associate, ip=ip, server_id=server_id, fixed_ip=fixed_ip)
        await self._db.write(work)

    async def disassociate(self, ip: str, server_id: str) -> None:
        """Take an address from a server. Raises Conflict when it has not got it."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_TAKE_ONE, {"b_ip": ip, "b_server": server_id})).rowcount == 0:
                raise Conflict(reason=NOT_ASSOCIATED.format(ip, server_id))

        await self._db.write(work)

    async def _allocate(self, connection: AsyncConnection, uuid: str, project_id: str, defaults: QuotaLimits) -> Any:
        await usages.hold(connection, project_id)
        earlier = (await connection.execute(_BY_UUID, {"b_uuid": uuid})).one_or_none()
        if earlier is not None:
            return earlier  # of a run whose outcome was not known
        found = await limits.read(connection, defaults, project_id=project_id)
        used = (await connection.execute(_COUNT, {"b_project": project_id})).scalar_one()
        if refused := refusal(Usage(floating_ips=used), found.project, Usage(floating_ips=1)):
            raise refused
        for ip in self._free(set((await connection.execute(_TAKEN)).scalars())):
            if await insert_once(connection, _ADD, {"uuid": uuid, "ip": ip, "project_id": project_id}):
                return (await connection.execute(_BY_UUID, {"b_uuid": uuid})).one()
        raise Missing(reason=NONE_LEFT)

    def _free(self, taken: set[str]) -> Iterable[str]:
        return (str(host) for host in ip_network(self._pool).hosts() if str(host) not in taken)

    async def _find(self, query: Any) -> Sequence[FloatingAddress]:
        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(query)).all()

        return [_address_of(row) for row in await self._db.read(work)]


async def take_all(connection: AsyncConnection, server_id: str) -> None:
    """A server that goes keeps none of its project's addresses."""
    await connection.execute(_TAKE_ALL, {"b_server": server_id})


async def _associate(connection: AsyncConnection, ip: str, server_id: str, fixed_ip: str | None) -> None:
    server = (await connection.execute(_SERVER, {"b_server": server_id})).one_or_none()
    if server is None:
        raise NotFound(kind="Instance", key=server_id)
    own = [address.ip for address in server.addresses if address.version == 4]
    if not own:
        raise Invalid(reason="No fixed IPs associated to instance")
    if fixed_ip is not None and fixed_ip not in own:
        raise Invalid(reason="Specified fixed address not assigned to instance")
    values = {"b_ip": ip, "b_project": server.project_id, "b_server": server_id, "b_fixed": fixed_ip or own[0]}
    # MariaDB's client is told to count the rows that are found: the same once more is no failure.
    if (await connection.execute(_GIVE, values)).rowcount == 0:
        raise NotFound(kind="Floating IP", key=ip)


def _address_of(row: Any) -> FloatingAddress:
    return FloatingAddress(**dict(zip(_FIELDS, row, strict=True)))


def _is_of(project_id: str) -> Any:
    return floating_addresses.c.project_id == project_id
