"""Counting again what is in use, from the servers and key pairs themselves.

The counters of novaflow.db.usages are changed in the transactions that change servers, after the server's row. So with a project's row
locked, the committed servers are exactly what its counters mean: whoever is about to change both has either changed the
counters too and is waited for, or will change them by his own difference afterwards.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import and_, bindparam, false, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import Select

from novaflow.db import usages
from novaflow.db.inserts import insert_once
from novaflow.db.moving import IN_FLIGHT, RESIZE
from novaflow.db.schema.compute import migrations, servers
from novaflow.db.schema.compute import usages as counters
from novaflow.db.schema.hosts import key_pairs
from novaflow.models import Flavor, Value
from novaflow.quotas import COUNTED, Usage, plus
from novaflow.states import Task, Vm

Who = tuple[str, str]
"""(project, '') for a project, (project, user) for a user in it, ('', user) for a user's key pairs."""


class Correction(Value, frozen=True, kw_only=True):
    """A counter that was wrong, and what it is now. Who is meant is said as in novaflow.db.usages."""

    project_id: str
    user_id: str
    counted: Usage
    actual: Usage


_TAKES_QUOTA: Final = and_(
    servers.c.is_deleted == false(),
    or_(servers.c.vm != Vm.SOFT_DELETED, servers.c.task == Task.RESTORING),  # as standing.counts
)
_IS_RESIZED: Final = and_(
    migrations.c.server_id == servers.c.id, migrations.c.type == RESIZE, migrations.c.status.in_(IN_FLIGHT)
)
# Servers of one size in one row; each that is being resized in a row of its own, with its two flavors.
_SERVERS: Final = (
    select(
        servers.c.project_id,
        servers.c.user_id,
        servers.c.vcpus,
        servers.c.ram_mb,
        func.count(),
        func.max(migrations.c.old_flavor, type_=migrations.c.old_flavor.type),
        func.max(migrations.c.new_flavor, type_=migrations.c.new_flavor.type),
    )
    .join_from(servers, migrations, _IS_RESIZED, isouter=True)
    .where(_TAKES_QUOTA)
    .group_by(servers.c.project_id, servers.c.user_id, servers.c.vcpus, servers.c.ram_mb, migrations.c.id)
)
_KEY_PAIRS: Final = select(key_pairs.c.user_id, func.count()).group_by(key_pairs.c.user_id)
_COUNTERS: Final = select(counters.c.project_id, counters.c.user_id, *(counters.c[name] for name in COUNTED))
_HOLD_USER: Final = (
    select(counters.c.user_id)
    .where(counters.c.project_id == "", counters.c.user_id == bindparam("b_user"))
    .with_for_update()
)


async def suspects(connection: AsyncConnection) -> Sequence[Who]:
    """Whose counters seem to be wrong, each project (or user with key pairs) once. Nothing is locked, so some may be right."""
    counted = await _counted(connection, _COUNTERS)
    actual = await _of_servers(connection, _SERVERS) | await _of_key_pairs(connection, _KEY_PAIRS)
    wrong = _differing(counted, actual)
    return sorted({(project, "") if project else ("", user) for project, user in wrong})


async def recount(connection: AsyncConnection, who: Who) -> list[Correction]:
    """Set a project's counters and its users', or a user's key pairs, to what they have; answers what was wrong."""
    project_id, user_id = who
    if project_id:
        await usages.hold(connection, project_id)
        counted = await _counted(connection, _COUNTERS.where(counters.c.project_id == project_id))
        actual = await _of_servers(connection, _SERVERS.where(servers.c.project_id == project_id))
    else:
        await connection.execute(_HOLD_USER, {"b_user": user_id})
        mine = (counters.c.project_id == "") & (counters.c.user_id == user_id)
        counted = await _counted(connection, _COUNTERS.where(mine))
        actual = await _of_key_pairs(connection, _KEY_PAIRS.where(key_pairs.c.user_id == user_id))
    corrections = [
        Correction(
            project_id=one[0], user_id=one[1], counted=counted.get(one, Usage()), actual=actual.get(one, Usage())
        )
        for one in _differing(counted, actual)
    ]
    for correction in corrections:
        await _correct(connection, correction)
    return corrections


def _differing(counted: Mapping[Who, Usage], actual: Mapping[Who, Usage]) -> list[Who]:
    everybody = sorted(counted.keys() | actual.keys())
    return [who for who in everybody if counted.get(who, Usage()) != actual.get(who, Usage())]


async def _correct(connection: AsyncConnection, correction: Correction) -> None:
    who = {"project_id": correction.project_id, "user_id": correction.user_id}
    amounts = {name: getattr(correction.actual, name) for name in COUNTED}
    is_row = (counters.c.project_id == correction.project_id) & (counters.c.user_id == correction.user_id)
    if not await insert_once(connection, insert(counters), who | amounts):
        await connection.execute(update(counters).where(is_row).values(**amounts))


async def _counted(connection: AsyncConnection, query: Select[Any]) -> dict[Who, Usage]:
    rows = (await connection.execute(query)).all()
    return {(row[0], row[1]): Usage(**dict(zip(COUNTED, row[2:], strict=True))) for row in rows}


async def _of_servers(connection: AsyncConnection, query: Select[Any]) -> dict[Who, Usage]:
    found: dict[Who, Usage] = {}
    for project_id, user_id, vcpus, ram_mb, count, old, new in (await connection.execute(query)).all():
        taken = _taken(vcpus, ram_mb, count, [flavor for flavor in (old, new) if flavor is not None])
        for who in ((project_id, ""), (project_id, user_id)):
            found[who] = plus(found.get(who, Usage()), taken)
    return found


def _taken(vcpus: int, ram_mb: int, count: int, flavors: Sequence[Flavor]) -> Usage:
    """What `count` servers take; while one is resized, the larger of its two flavors, resource by resource."""
    cores = max([vcpus, *(flavor.vcpus for flavor in flavors)])
    ram = max([ram_mb, *(flavor.ram_mb for flavor in flavors)])
    return Usage(instances=count, cores=count * cores, ram=count * ram)


async def _of_key_pairs(connection: AsyncConnection, query: Select[Any]) -> dict[Who, Usage]:
    rows = (await connection.execute(query)).all()
    return {("", user_id): Usage(key_pairs=count) for user_id, count in rows}
