"""Quotas: what a project and its users may have, what they have, and what administrators change."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from novaflow.db.limits import DEFAULT_CLASS
from novaflow.db.quotas import Quotas, Standing
from novaflow.errors import Invalid
from novaflow.models import Context
from novaflow.operations.rights import admin_only, admin_or_owner
from novaflow.quotas import NO_LIMIT, QuotaLimits, Usage

COUNTED: Final = ("instances", "cores", "ram", "server_groups", "security_groups", "floating_ips")
"""What a project or a user in it has in use; key pairs are a user's in all projects, members and rules a group's."""
_RULE: Final = "os_compute_api:os-quota-sets:{}"
_CLASS_RULE: Final = "os_compute_api:os-quota-class-sets:{}"
_ANY: Final = float("inf")


class QuotaOperations:
    """What can be done with quotas. `defaults` count where neither a project nor the default class says anything else."""

    def __init__(self, quotas: Quotas, defaults: QuotaLimits) -> None:
        self._quotas = quotas
        self._defaults = defaults

    async def limits(self, context: Context, project_id: str, *, user_id: str = "") -> QuotaLimits:
        """What a project, or a user in it, may have: its members and administrators may know."""
        admin_or_owner(context, project_id, _RULE.format("show"))
        return await self._quotas.limits(project_id, self._defaults, user_id=user_id)

    async def detail(self, context: Context, project_id: str, *, user_id: str = "") -> tuple[QuotaLimits, Usage]:
        """What a project, or a user in it, may have and has."""
        admin_or_owner(context, project_id, _RULE.format("detail"))
        found = await self._quotas.standing(project_id, user_id, self._defaults)
        return (found.limits.user, found.of_user) if user_id else (found.limits.project, found.of_project)

    async def absolute(self, context: Context, project_id: str | None = None) -> tuple[QuotaLimits, Usage]:
        """The same for the caller's own project, or for any other when an administrator asks."""
        if project_id is not None:
            admin_only(context, "os_compute_api:limits:other_project")
        found = await self._quotas.standing(project_id or context.project_id, "", self._defaults)
        return found.limits.project, found.of_project

    async def defaults(self) -> QuotaLimits:
        """What a project may have unless somebody said otherwise; anyone may know."""
        return await self._quotas.class_limits(DEFAULT_CLASS, self._defaults)

    async def class_limits(self, context: Context, name: str) -> QuotaLimits:
        """The limits of a quota class, which only administrators may see."""
        admin_only(context, _CLASS_RULE.format("show"))
        return await self._quotas.class_limits(name, self._defaults)

    async def update_class(self, context: Context, name: str, changes: Mapping[str, int]) -> QuotaLimits:
        """Change limits of a class. The default one's are every project's that has none of its own; nobody loses what he has."""
        admin_only(context, _CLASS_RULE.format("update"))
        await self._quotas.set_class(name, changes)
        return await self._quotas.class_limits(name, self._defaults)

    async def update(
        self,
        context: Context,
        project_id: str,
        changes: Mapping[str, int],
        *,
        user_id: str = "",
        is_forced: bool = False,
    ) -> QuotaLimits:
        """Change some limits of a project or of a user in it: all of them or none.

        Raises Invalid for one below what is in use, and for a user's above what the project has left to give; not when `is_forced`.
        """
        admin_only(context, _RULE.format("update"))
        check = partial(refuse_unsettable, changes, user_id=user_id)
        await self._quotas.set(
            project_id, changes, user_id=user_id, defaults=self._defaults, check=None if is_forced else check
        )
        return await self._quotas.limits(project_id, self._defaults, user_id=user_id)

    async def reset(self, context: Context, project_id: str, *, user_id: str = "") -> None:
        """Let the defaults count for this project and its users again, or the project's for this user."""
        admin_only(context, _RULE.format("delete"))
        await self._quotas.reset(project_id, user_id=user_id)


def refuse_unsettable(changes: Mapping[str, int], standing: Standing, *, user_id: str) -> None:
    """Raise Invalid for the first limit that is too low for what there is, or too high for what is left; pure.

    Source: nova/quota.py (get_settable_quotas), nova/api/openstack/compute/quota_sets.py (_validate_quota_limit).
    """
    for resource, limit in changes.items():
        lowest, highest = settable(standing, resource, of_user=bool(user_id))
        if _number(limit) < lowest:
            said = f"must be greater than or equal to already used and reserved {lowest}."
            raise Invalid(reason=f"Quota limit {limit} for {resource} {said}")
        if _number(limit) > _number(highest):
            raise Invalid(reason=f"Quota limit {limit} for {resource} must be less than or equal to {highest}.")


def settable(standing: Standing, resource: str, *, of_user: bool) -> tuple[int, int]:
    """The lowest and the highest limit that may be set; a highest of -1 is none.

    A project keeps what it has in use and what its users were allotted; a user may get what the others left of the project's.
    """
    limit: int = getattr(standing.limits.project, resource)
    allotted = standing.allotted.get(resource, 0)
    usage = standing.of_user if of_user else standing.of_project
    in_use: int = getattr(usage, resource) if resource in COUNTED else 0
    if not of_user:
        return max(in_use, allotted), NO_LIMIT
    own = max(0, standing.limits.own.get(resource, 0))
    return in_use, NO_LIMIT if limit == NO_LIMIT else max(0, limit - allotted) + own


def _number(limit: int) -> float:
    return _ANY if limit == NO_LIMIT else limit
