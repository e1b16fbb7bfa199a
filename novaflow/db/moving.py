"""Moves of servers to another host or flavor: Nova's migrations, and the room that a moving server holds on two hosts.

A server's own row says which host it is on and what it takes there. While it moves, its migration holds a second claim:
on the destination until the server is handed over, on the source from then on until the move is confirmed (so that it can go back).
Every function runs in the caller's transaction with the server's row locked, and locks in the order server, migration, host, quota.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Scheduler
from novaflow.db import claims, usages
from novaflow.db.ids import new_uuid
from novaflow.db.schema.compute import migrations, servers
from novaflow.db.schema.hosts import hosts
from novaflow.db.standing import Standing
from novaflow.errors import TaskSuperseded
from novaflow.models import Flavor
from novaflow.quotas import Usage
from novaflow.states import Task, Vm
from novaflow.tasks import ABORTING, Migration

RESIZE: Final = "resize"
MIGRATION: Final = "migration"
LIVE: Final = "live-migration"
EVACUATION: Final = "evacuation"
IN_FLIGHT: Final = (
    "accepted",
    "pre-migrating",
    ABORTING,
    "migrating",
    "post-migrating",
    "finished",
    "confirming",
    "reverting",
)
_COLUMNS: Final = tuple(migrations.c[name] for name in Migration.__struct_fields__)
_CLAIMED: Final = (migrations.c.claim_vcpus, migrations.c.claim_ram_mb, migrations.c.claim_disk_gb)
_CURRENT: Final = (
    select(*_COLUMNS, *_CLAIMED)
    .where(migrations.c.server_id == bindparam("b_id"), migrations.c.status.in_(IN_FLIGHT))
    .order_by(migrations.c.id.desc())
    .limit(1)
)
_SET_STATUS: Final = (
    update(migrations)
    .where(migrations.c.id == bindparam("b_id"))
    .values(status=bindparam("b_status"), updated_at=bindparam("b_now"))
)
_KEEP: Final = (
    update(migrations)
    .where(migrations.c.id == bindparam("b_id"))
    .values(
        claim_host=bindparam("b_host"),
        claim_vcpus=bindparam("b_vcpus"),
        claim_ram_mb=bindparam("b_ram_mb"),
        claim_disk_gb=bindparam("b_disk_gb"),
        updated_at=bindparam("b_now"),
    )
)
_CLAIM: Final = _KEEP.values(status="pre-migrating", dest_host=bindparam("b_host"))
_UNCLAIM: Final = (
    update(migrations)
    .where(migrations.c.id == bindparam("b_id"))
    .values(claim_host=null(), updated_at=bindparam("b_now"))
)
_ZONE: Final = select(hosts.c.availability_zone).where(hosts.c.name == bindparam("b_host")).scalar_subquery()
_HAND_OVER: Final = (
    update(servers)
    .where(servers.c.id == bindparam("b_id"))
    .values(
        host=bindparam("b_host"),
        availability_zone=func.coalesce(_ZONE, servers.c.availability_zone),
        flavor=bindparam("b_flavor"),
        flavor_id=bindparam("b_flavor_id"),
        vcpus=bindparam("b_vcpus"),
        ram_mb=bindparam("b_ram_mb"),
        disk_gb=bindparam("b_disk_gb"),
    )
)


@dataclass(frozen=True)
class Move:
    """A migration that is under way, and how much its second claim holds."""

    migration: Migration
    vcpus: int
    ram_mb: int
    disk_gb: int


def migration_of(row: Any) -> Migration:
    """A migration from its columns."""
    return Migration(**dict(zip(Migration.__struct_fields__, row, strict=True)))


async def add(connection: AsyncConnection, migration: Migration) -> int:
    """Record a move that was accepted; answers its number. `migration.id` is ignored."""
    fields = {name: getattr(migration, name) for name in Migration.__struct_fields__ if name != "id"}
    claimed = {"claim_vcpus": 0, "claim_ram_mb": 0, "claim_disk_gb": 0}
    done = await connection.execute(insert(migrations).values(**fields, **claimed))
    (number,) = done.inserted_primary_key or (0,)
    return int(number)


def accepted(
    *,
    server_id: str,
    task_id: str,
    kind: str,
    source_host: str,
    old: Flavor,
    new: Flavor,
    old_vm: Vm,
    project_id: str,
    user_id: str,
    now: datetime,
) -> Migration:
    """A move as it begins."""
    return Migration(
        id=0,
        uuid=new_uuid(),
        server_id=server_id,
        task_id=task_id,
        type=kind,
        status="accepted",
        source_host=source_host,
        old_flavor=old,
        new_flavor=new,
        old_vm=old_vm,
        project_id=project_id,
        user_id=user_id,
        created_at=now,
        updated_at=now,
    )


async def current(connection: AsyncConnection, server_id: str) -> Move | None:
    """The move that a server is in, if any, with its row locked."""
    row = (await connection.execute(_CURRENT.with_for_update(), {"b_id": server_id})).one_or_none()
    return None if row is None else Move(migration_of(row[: -len(_CLAIMED)]), *row[-len(_CLAIMED) :])


async def look(connection: AsyncConnection, server_id: str) -> Migration | None:
    """The move that a server is in, if any, as it is now and without holding it."""
    row = (await connection.execute(_CURRENT, {"b_id": server_id})).one_or_none()
    return None if row is None else migration_of(row[: -len(_CLAIMED)])


async def set_status(connection: AsyncConnection, migration: Migration, status: str, now: datetime) -> None:
    """Nova's word for how far it got."""
    await connection.execute(_SET_STATUS, {"b_id": migration.id, "b_status": status, "b_now": now})


def is_on_its_way(server: Standing, migration: Migration) -> bool:
    """Whether the server has been handed over to the destination, by a move that has not come to its end."""
    if server.state.vm is Vm.RESIZED:
        return False
    if migration.is_to_same_host:
        return server.state.task in (Task.RESIZE_MIGRATED, Task.RESIZE_FINISH)
    return server.host == migration.dest_host


async def claim(connection: AsyncConnection, move: Move, host: str, ratios: Scheduler, now: datetime) -> bool:
    """Take room on the destination for what the server will be; False when the host has too little. The move has no claim yet."""
    flavor = move.migration.new_flavor
    if not await claims.take(connection, host, flavor, ratios):
        return False
    values = {"b_id": move.migration.id, "b_host": host, "b_now": now}
    await connection.execute(_CLAIM, values | _amounts(flavor))
    return True


async def unclaim(connection: AsyncConnection, move: Move, now: datetime) -> None:
    """Give the second claim back, if there is one."""
    host = move.migration.claim_host
    if host is not None:
        await claims.give_back(connection, host, vcpus=move.vcpus, ram_mb=move.ram_mb, disk_gb=move.disk_gb)
        await connection.execute(_UNCLAIM, {"b_id": move.migration.id, "b_now": now})


async def hand_over(connection: AsyncConnection, move: Move, server: Standing, now: datetime) -> Move:
    """The server is the destination's from now on, and what it took on the source is the second claim. Fine when it is so already.

    Raises TaskSuperseded when nothing is claimed at the destination (any more).
    """
    migration = move.migration
    if is_on_its_way(server, migration):
        return move
    if migration.claim_host is None or migration.claim_host != migration.dest_host:
        raise TaskSuperseded(server_id=server.server_id, task_id=migration.task_id)
    await _give(connection, migration.server_id, migration.claim_host, migration.new_flavor)
    old = migration.old_flavor
    kept = {"b_id": migration.id, "b_host": migration.source_host, "b_now": now}
    await connection.execute(_KEEP, kept | _amounts(old))
    migration = msgspec.structs.replace(migration, claim_host=migration.source_host)
    return Move(migration, old.vcpus, old.ram_mb, old.claimed_disk_gb)


async def hand_back(connection: AsyncConnection, move: Move, now: datetime) -> Move:
    """The server is the source's again, as it was, and has no room on the destination any more. Fine when it is so already."""
    migration = move.migration
    if migration.claim_host is None or migration.dest_host is None:
        return move
    await _give(connection, migration.server_id, migration.source_host, migration.old_flavor)
    new = migration.new_flavor
    there = Move(
        msgspec.structs.replace(migration, claim_host=migration.dest_host), new.vcpus, new.ram_mb, new.claimed_disk_gb
    )
    await unclaim(connection, there, now)
    return Move(msgspec.structs.replace(migration, claim_host=None), 0, 0, 0)


async def end(connection: AsyncConnection, move: Move, server: Standing, status: str, now: datetime) -> None:
    """The move is over: the second claim goes, and the quota that a resize reserved beyond what the server has now."""
    await unclaim(connection, move, now)
    await set_status(connection, move.migration, status, now)
    spare = beyond(move.migration, vcpus=server.vcpus, ram_mb=server.ram_mb)
    if spare != Usage():
        await usages.release_servers(connection, spare, project_id=server.project_id, user_id=server.user_id)


async def give_up(
    connection: AsyncConnection, move: Move, server: Standing, now: datetime, status: str = "error"
) -> None:
    """The move is over without success: a server that was on its way is where it was before."""
    if is_on_its_way(server, move.migration):
        move = await hand_back(connection, move, now)
        old = move.migration.old_flavor
        server = replace(server, host=move.migration.source_host, vcpus=old.vcpus, ram_mb=old.ram_mb)
    await end(connection, move, server, status, now)


def beyond(migration: Migration, *, vcpus: int, ram_mb: int) -> Usage:
    """What a move has reserved more than that: while a resize lasts the larger of two flavors counts, resource by resource."""
    if migration.type != RESIZE:
        return Usage()
    old, new = migration.old_flavor, migration.new_flavor
    return Usage(cores=max(old.vcpus, new.vcpus) - vcpus, ram=max(old.ram_mb, new.ram_mb) - ram_mb)


async def _give(connection: AsyncConnection, server_id: str, host: str, flavor: Flavor) -> None:
    server = {"b_id": server_id, "b_host": host, "b_flavor": flavor, "b_flavor_id": flavor.id}
    await connection.execute(_HAND_OVER, server | _amounts(flavor))


def _amounts(flavor: Flavor) -> dict[str, Any]:
    return {"b_vcpus": flavor.vcpus, "b_ram_mb": flavor.ram_mb, "b_disk_gb": flavor.claimed_disk_gb}
