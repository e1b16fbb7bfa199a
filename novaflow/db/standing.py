"""What must be known of a server to move it, read with its row locked; and what it gives back when it goes."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import claims, floating_addresses, security_members, server_groups, usages
from novaflow.db.schema.compute import addresses, servers
from novaflow.quotas import Usage
from novaflow.states import State, Task, Vm, state_of


@dataclass(frozen=True)
class Standing:
    """A server as the transaction that holds its row sees it."""

    server_id: str
    state: State
    task_id: str | None
    host: str | None
    project_id: str
    user_id: str
    vcpus: int
    ram_mb: int
    disk_gb: int

    @property
    def is_deleted(self) -> bool:
        """Nothing can happen to it any more."""
        return self.state.vm is Vm.DELETED


_COLUMNS: Final = (
    servers.c.vm,
    servers.c.task,
    servers.c.id,
    servers.c.task_id,
    servers.c.host,
    servers.c.project_id,
    servers.c.user_id,
    servers.c.vcpus,
    servers.c.ram_mb,
    servers.c.disk_gb,
)
_LOCK: Final = select(*_COLUMNS).where(servers.c.id == bindparam("b_id")).with_for_update()
_FREE_ADDRESSES: Final = delete(addresses).where(addresses.c.server_id == bindparam("b_id"))


async def lock(connection: AsyncConnection, server_id: str) -> Standing | None:
    """Lock a server's row; None when there is no such server. SQLite's writer holds every lock already."""
    row = (await connection.execute(_LOCK, {"b_id": server_id})).one_or_none()
    if row is None:
        return None
    vm, task, found, task_id, host, project_id, user_id, vcpus, ram_mb, disk_gb = row
    return Standing(found, state_of(vm, task), task_id, host, project_id, user_id, vcpus, ram_mb, disk_gb)


async def release_host(connection: AsyncConnection, server: Standing) -> None:
    """Give back what the server takes on its host, if it is on one."""
    if server.host is not None:
        await claims.give_back(
            connection, server.host, vcpus=server.vcpus, ram_mb=server.ram_mb, disk_gb=server.disk_gb
        )


def counts(state: State) -> bool:
    """Whether a server in this state takes of its quota: one that waits for its reclaim does not, until it is restored."""
    return state.vm is not Vm.DELETED and (state.vm is not Vm.SOFT_DELETED or state.task is Task.RESTORING)


def usage_of(server: Standing) -> Usage:
    """What a server takes of its quota while it counts."""
    return Usage(instances=1, cores=server.vcpus, ram=server.ram_mb)


async def release_all(connection: AsyncConnection, server: Standing) -> None:
    """Give back all that a deleted server had: addresses, its places in groups, room on its host, quota."""
    await connection.execute(_FREE_ADDRESSES, {"b_id": server.server_id})
    await server_groups.leave(connection, server.server_id)
    await security_members.leave(connection, server.server_id)
    await floating_addresses.take_all(connection, server.server_id)
    await release_host(connection, server)
    if counts(server.state):
        who = {"project_id": server.project_id, "user_id": server.user_id}
        await usages.release_servers(connection, usage_of(server), **who)
