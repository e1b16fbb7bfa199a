"""What projects and users may have: limits of the default class, of a project, and of one user in a project.

The last of these that names a resource counts; where none does, the configured default. Whoever holds a project's row of
novaflow.db.usages sees limits that nobody lowers meanwhile: they are changed under that lock only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, bindparam, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.schema.aggregates import quota_class_limits, user_quota_limits
from novaflow.db.schema.compute import quota_limits
from novaflow.quotas import UNLIMITED, QuotaLimits, with_overrides

DEFAULT_CLASS: Final = "default"  # the one that every project is in
_CLASS, _PROJECT, _USER = range(3)

# Every limit that concerns a user in a project, as rows of where it comes from, its resource and its value.
SAID: Final[tuple[Select[Any], ...]] = (
    select(literal(_CLASS), quota_class_limits.c.resource, quota_class_limits.c.value).where(
        quota_class_limits.c.class_name == DEFAULT_CLASS
    ),
    select(literal(_PROJECT), quota_limits.c.resource, quota_limits.c.value).where(
        quota_limits.c.project_id == bindparam("b_project")
    ),
    select(literal(_USER), user_quota_limits.c.resource, user_quota_limits.c.value).where(
        user_quota_limits.c.project_id == bindparam("b_project"), user_quota_limits.c.user_id == bindparam("b_user")
    ),
)
_READ: Final = union_all(*SAID)


@dataclass(frozen=True)
class Limits:
    """What a project may have, and which limits one of its users has of his own."""

    project: QuotaLimits
    own: dict[str, int]

    @property
    def user(self) -> QuotaLimits:
        """What the user may have: the project's limits where he has none of his own, as Nova shows it."""
        return with_overrides(self.project, self.own)

    @property
    def enforced_on_user(self) -> QuotaLimits:
        """What is held against the user's own count: nothing where he has no limit of his own."""
        return with_overrides(UNLIMITED, self.own)


def limits_of(rows: Iterable[Any], defaults: QuotaLimits) -> Limits:
    """The limits from rows of SAID (source, resource, value)."""
    found: tuple[dict[str, int], ...] = ({}, {}, {})
    for source, resource, value in rows:
        found[source][resource] = value
    return Limits(with_overrides(defaults, found[_CLASS] | found[_PROJECT]), found[_USER])


async def read(connection: AsyncConnection, defaults: QuotaLimits, *, project_id: str, user_id: str = "") -> Limits:
    """The limits of a project, and of a user in it. `defaults` count where the database says nothing."""
    rows = (await connection.execute(_READ, {"b_project": project_id, "b_user": user_id})).all()
    return limits_of(rows, defaults)
