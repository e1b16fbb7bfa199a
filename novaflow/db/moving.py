"""Moves of servers to another host or flavor: Nova's migrations, and the room that a moving server holds on two hosts.

A server's own row says which host it is on and what it takes there. While it moves, its migration holds a second claim:
on the destination until the server is handed over, on the source from then on until the move is confirmed (so that it can go back).
Every function runs in the caller's transaction with the server's row locked, and locks in the order server, migration, host, quota.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Scheduler
from novaflow.db import claims, usages
from novaflow.db.ids import new_uuid
from novaflow.db.schema.compute import migrations, servers
from novaflow.db.standing import Standing
from novaflow.models import Flavor, Migration, Usage
from novaflow.states import Vm

RESIZE: Final = "resize"
MIGRATION: Final = "migration"
LIVE: Final = "live-migration"
EVACUATION: Final = "evacuation"
IN_FLIGHT: Final = (
    "accepted",
    "pre-migrating",
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
_HAND_OVER: Final = (
    update(servers)
    .where(servers.c.id == bindparam("b_id"))
    .values(
        host=bindparam("b_host"),
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


async def claim(connection: AsyncConnection, move: Move, host: str, ratios: Scheduler, now: datetime) -> bool:
    """Take room on the destination for what the server will be; False when the host has too little.

    A claim on another host, of an attempt that failed, is given back first.
    """
    await unclaim(connection, move, now)
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


async def hand_over(connection: AsyncConnection, migration: Migration, now: datetime, *, back: bool = False) -> None:
    """The server is the destination's from now on (or, `back`, the source's again), and the claims change sides with it."""
    old = (migration.source_host, migration.old_flavor)
    new = (migration.dest_host, migration.new_flavor)
    (to_host, gets), (from_host, keeps) = (old, new) if back else (new, old)
    server = {"b_id": migration.server_id, "b_host": to_host, "b_flavor": gets, "b_flavor_id": gets.id}
    await connection.execute(_HAND_OVER, server | _amounts(gets))
    kept = {"b_id": migration.id, "b_host": from_host, "b_now": now}
    await connection.execute(_KEEP, kept | _amounts(keeps))


async def end(connection: AsyncConnection, move: Move, status: str, now: datetime, *, vcpus: int, ram_mb: int) -> None:
    """The move is over: the second claim goes, and the quota that a resize reserved beyond what the server has now."""
    await unclaim(connection, move, now)
    await set_status(connection, move.migration, status, now)
    spare = beyond(move.migration, vcpus=vcpus, ram_mb=ram_mb)
    if spare != Usage():
        migration = move.migration
        await usages.release_servers(connection, spare, project_id=migration.project_id, user_id=migration.user_id)


async def give_up(connection: AsyncConnection, server: Standing, now: datetime) -> None:
    """End whatever move a server is in, because the server goes or its state is set by hand."""
    move = await current(connection, server.server_id)
    if move is not None:
        await end(connection, move, "error", now, vcpus=server.vcpus, ram_mb=server.ram_mb)


def beyond(migration: Migration, *, vcpus: int, ram_mb: int) -> Usage:
    """What a move has reserved more than that: while a resize lasts the larger of two flavors counts, resource by resource."""
    if migration.type != RESIZE:
        return Usage()
    old, new = migration.old_flavor, migration.new_flavor
    return Usage(cores=max(old.vcpus, new.vcpus) - vcpus, ram=max(old.ram_mb, new.ram_mb) - ram_mb)


def _amounts(flavor: Flavor) -> dict[str, Any]:
    return {"b_vcpus": flavor.vcpus, "b_ram_mb": flavor.ram_mb, "b_disk_gb": flavor.claimed_disk_gb}
