"""Security groups and their rules.

Groups are counted with the project's row of usages held, rules with their group's row, so that of many at the limit those that fit
succeed. Whoever puts servers into a group shares its row until they are recorded, and deleting it waits for them.
"""

import builtins
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Select, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db import limits, usages
from novaflow.db.database import Database
from novaflow.db.ids import new_uuid
from novaflow.db.inserts import insert_once
from novaflow.db.schema.networking import security_group_members, security_groups, security_rules
from novaflow.errors import Conflict, NotFound
from novaflow.models import Context
from novaflow.quotas import QuotaLimits, Usage, refusal
from novaflow.security_groups import SecurityGroup, SecurityRule

DEFAULT: Final = "default"
"""The group that every project has, and that servers are in which name no other."""
KIND: Final = "Security group"
RULE: Final = "Security group rule"
_COLUMNS: Final = tuple(security_groups.c[name] for name in ("id", "project_id", "user_id", "name", "description"))
_GROUPS: Final = select(*_COLUMNS).order_by(security_groups.c.id)
_IS_PROJECTS: Final = security_groups.c.project_id == bindparam("b_project")
_NAMED: Final = select(security_groups.c.id, security_groups.c.uuid).where(
    _IS_PROJECTS, security_groups.c.name == bindparam("b_name")
)
_COUNT: Final = select(func.count()).where(_IS_PROJECTS)
_COUNT_OF_USER: Final = _COUNT.where(security_groups.c.user_id == bindparam("b_user"))
_ADD: Final = insert(security_groups)
_DELETE: Final = delete(security_groups).where(security_groups.c.id == bindparam("b_id"))
_HOLD: Final = select(security_groups.c.name).where(security_groups.c.id == bindparam("b_id")).with_for_update()
_MEMBERS: Final = select(func.count()).where(security_group_members.c.group_id == bindparam("b_id"))
_source: Final = security_groups.alias("source")
_RULES: Final = (
    select(
        security_rules.c.id,
        security_rules.c.group_id,
        security_rules.c.protocol,
        security_rules.c.from_port,
        security_rules.c.to_port,
        security_rules.c.cidr,
        security_rules.c.source_id,
        func.coalesce(_source.c.name, ""),
        func.coalesce(_source.c.project_id, ""),
    )
    .join_from(security_rules, _source, _source.c.id == security_rules.c.source_id, isouter=True)
    .order_by(security_rules.c.id)
)
_ADD_RULE: Final = insert(security_rules)
_DELETE_RULE: Final = delete(security_rules).where(security_rules.c.id == bindparam("b_id"))
_CLEAR: Final = delete(security_rules).where(
    or_(security_rules.c.group_id == bindparam("b_id"), security_rules.c.source_id == bindparam("b_id"))
)


class SecurityGroups:
    """The security groups of all projects, in the database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def create(self, context: Context, name: str, description: str, defaults: QuotaLimits) -> SecurityGroup:
        """Add a group without rules. Raises QuotaExceeded, Conflict for a name that the project has."""
        row = new_group(context, name, description, self._clock.now())
        work = partial(_create, row=row, defaults=defaults)
        return await self.get(await self._db.write(work))

    async def ensure_default(self, context: Context) -> None:
        """Give the project its default group, unless it has it: its quota does not forbid that one."""
        await self._db.write(
            lambda connection: insert_once(connection, _ADD, default_group(context, self._clock.now()))
        )

    async def list(self, project_id: str | None = None) -> Sequence[SecurityGroup]:
        """The groups of one project, or of all, with their rules, the oldest first."""
        return await self._find(_GROUPS if project_id is None else _GROUPS.where(_is_of(project_id)))

    async def named(self, project_id: str, name: str) -> SecurityGroup:
        """One group of a project. Raises NotFound."""
        found = await self._find(_GROUPS.where(_is_of(project_id), security_groups.c.name == name))
        if not found:
            raise NotFound(kind=KIND, key=name)
        return found[0]

    async def get(self, group_id: int) -> SecurityGroup:
        """One group. Raises NotFound."""
        found = await self._find(_GROUPS.where(security_groups.c.id == group_id))
        if not found:
            raise NotFound(kind=KIND, key=str(group_id))
        return found[0]

    async def of_server(self, server_id: str) -> Sequence[SecurityGroup]:
        """The groups that a server is in."""
        mine = select(security_group_members.c.group_id).where(security_group_members.c.server_id == server_id)
        return await self._find(_GROUPS.where(security_groups.c.id.in_(mine)))

    async def describe(self, group_id: int, name: str, description: str) -> SecurityGroup:
        """Give a group another name and description. Raises NotFound, Conflict for a name that the project has."""
        changes = update(security_groups).where(security_groups.c.id == group_id)

        async def work(connection: AsyncConnection) -> None:
            await _hold(connection, group_id)
            is_theirs = (security_groups.c.name == name) & (security_groups.c.id != group_id)
            project = select(security_groups.c.project_id).where(security_groups.c.id == group_id).scalar_subquery()
            taken = select(security_groups.c.id).where(is_theirs, security_groups.c.project_id == project)
            if (await connection.execute(taken)).one_or_none() is not None:
                raise Conflict(reason=f"Security group {name} already exists")
            await connection.execute(changes.values(name=name, description=description))

        await self._db.write(work)
        return await self.get(group_id)

    async def delete(self, group_id: int) -> None:
        """Remove a group, its rules and those that let it in elsewhere. Raises NotFound, Conflict while servers are in it."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_DELETE, {"b_id": group_id})).rowcount == 0:
                raise NotFound(kind=KIND, key=str(group_id))
            if (await connection.execute(_MEMBERS, {"b_id": group_id})).scalar_one():
                raise Conflict(reason="Security group is still in use")
            await connection.execute(_CLEAR, {"b_id": group_id})

        await self._db.write(work)

    async def add_rules(
        self, context: Context, group_id: int, rules: Sequence[SecurityRule], defaults: QuotaLimits
    ) -> Sequence[SecurityRule]:
        """Add rules to a group: all of them or none; what they say of `id` and `group_id` is settled here.

        Raises NotFound, QuotaExceeded (the limit is a group's), Conflict for one that is there.
        """
        rows = [_row_of(rule, group_id) for rule in rules]
        who = {"project_id": context.project_id, "user_id": context.user_id}

        async def work(connection: AsyncConnection) -> Sequence[Any]:
            await _hold(connection, group_id)
            mine = _RULES.where(security_rules.c.group_id == group_id)
            if not await _are_there(connection, rows):
                there = [_rule_of(row) for row in await connection.execute(mine)]
                _refuse_doubles(there, rules, group_id)
                found = await limits.read(connection, defaults, **who)
                ask = Usage(security_group_rules=len(rows))
                if refused := refusal(Usage(security_group_rules=len(there)), found.user, ask):
                    raise refused
                await connection.execute(_ADD_RULE, rows)
            made = security_rules.c.uuid.in_([row["uuid"] for row in rows])
            return (await connection.execute(mine.where(made))).all()

        return [_rule_of(row) for row in await self._db.write(work)]

    async def rule(self, rule_id: int) -> SecurityRule:
        """One rule. Raises NotFound."""

        async def work(connection: AsyncConnection) -> Any:
            return (await connection.execute(_RULES.where(security_rules.c.id == rule_id))).one_or_none()

        row = await self._db.read(work)
        if row is None:
            raise NotFound(kind=RULE, key=str(rule_id))
        return _rule_of(row)

    async def delete_rule(self, rule_id: int) -> None:
        """Remove a rule. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_DELETE_RULE, {"b_id": rule_id})).rowcount == 0:
                raise NotFound(kind=RULE, key=str(rule_id))

        await self._db.write(work)

    async def _find(self, query: Select[Any]) -> Sequence[SecurityGroup]:
        async def work(connection: AsyncConnection) -> Sequence[SecurityGroup]:
            rows = (await connection.execute(query)).all()
            if not rows:
                return []
            theirs = _RULES.where(security_rules.c.group_id.in_([row.id for row in rows]))
            rules: dict[int, builtins.list[SecurityRule]] = {}
            for rule in map(_rule_of, await connection.execute(theirs)):
                rules.setdefault(rule.group_id, []).append(rule)
            return [SecurityGroup(**row._mapping, rules=tuple(rules.get(row.id, ()))) for row in rows]

        return await self._db.read(work)


def new_group(context: Context, name: str, description: str, now: datetime) -> dict[str, Any]:
    """The row of a group that the caller makes."""
    return {
        "uuid": new_uuid(),
        "project_id": context.project_id,
        "user_id": context.user_id,
        "name": name,
        "description": description,
        "created_at": now,
    }


def default_group(context: Context, now: datetime) -> dict[str, Any]:
    """The row of a project's default group, which is nobody's own: it counts in the project's quota and in no user's."""
    return new_group(context, DEFAULT, DEFAULT, now) | {"user_id": ""}


async def _create(connection: AsyncConnection, row: dict[str, Any], defaults: QuotaLimits) -> int:
    """The id of the group, once it is recorded."""
    who = {"b_project": row["project_id"], "b_user": row["user_id"], "b_name": row["name"]}
    await usages.hold(connection, row["project_id"])
    is_new = await insert_once(connection, _ADD, row)
    # A locking read: it sees what another one has committed since this transaction began.
    there = (await connection.execute(_NAMED.with_for_update(), who)).one()
    if there.uuid != row["uuid"]:
        raise Conflict(reason=f"Security group {row['name']} already exists")
    if is_new:
        found = await limits.read(connection, defaults, project_id=row["project_id"], user_id=row["user_id"])
        for query, enforced in ((_COUNT, found.project), (_COUNT_OF_USER, found.enforced_on_user)):
            others = (await connection.execute(query, who)).scalar_one() - 1
            if refused := refusal(Usage(security_groups=others), enforced, Usage(security_groups=1)):
                raise refused
    group_id: int = there.id
    return group_id


async def _hold(connection: AsyncConnection, group_id: int) -> None:
    if (await connection.execute(_HOLD, {"b_id": group_id})).one_or_none() is None:
        raise NotFound(kind=KIND, key=str(group_id))


async def _are_there(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether an earlier run of this write, whose outcome was not known, has been committed."""
    made = select(security_rules.c.id).where(security_rules.c.uuid.in_([row["uuid"] for row in rows]))
    return len((await connection.execute(made)).all()) == len(rows)


def _refuse_doubles(there: Sequence[SecurityRule], wanted: Sequence[SecurityRule], group_id: int) -> None:
    seen = {_meaning(rule) for rule in there}
    for rule in wanted:
        if _meaning(rule) in seen:
            raise Conflict(reason=f"This rule already exists in group {group_id}")
        seen.add(_meaning(rule))


def _meaning(rule: SecurityRule) -> tuple[object, ...]:
    return rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.source_id


def _row_of(rule: SecurityRule, group_id: int) -> dict[str, Any]:
    named = ("protocol", "from_port", "to_port", "cidr", "source_id")
    return {name: getattr(rule, name) for name in named} | {"uuid": new_uuid(), "group_id": group_id}


def _rule_of(row: Any) -> SecurityRule:
    return SecurityRule(**dict(zip(SecurityRule.__struct_fields__, row, strict=True)))


def _is_of(project_id: str) -> Any:
    return security_groups.c.project_id == project_id
