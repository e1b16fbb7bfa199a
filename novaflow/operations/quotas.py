"""Quotas: what a project may have, what it has, and what administrators change."""

from collections.abc import Mapping
from typing import Final

from novaflow.db.quotas import DEFAULT_CLASS, Quotas
from novaflow.errors import Invalid
from novaflow.models import Context, QuotaLimits, Usage
from novaflow.operations.rights import admin_only, admin_or_owner

UNLIMITED: Final = -1
_RULE: Final = "os_compute_api:os-quota-sets:{}"
_CLASS_RULE: Final = "os_compute_api:os-quota-class-sets:{}"
_COUNTED: Final = ("instances", "cores", "ram")


class QuotaOperations:
    """What can be done with quotas. `defaults` count where neither a project nor the default class says anything else."""

    def __init__(self, quotas: Quotas, defaults: QuotaLimits) -> None:
        self._quotas = quotas
        self._defaults = defaults

    async def limits(self, context: Context, project_id: str) -> QuotaLimits:
        """What a project may have: its members and administrators may know."""
        admin_or_owner(context, project_id, _RULE.format("show"))
        return await self._quotas.limits(project_id, self._defaults)

    async def detail(self, context: Context, project_id: str) -> tuple[QuotaLimits, Usage]:
        """What a project may have and has."""
        admin_or_owner(context, project_id, _RULE.format("detail"))
        return await self._limits_and_usage(context, project_id)

    async def absolute(self, context: Context, project_id: str | None = None) -> tuple[QuotaLimits, Usage]:
        """The same for the caller's own project, or for any other when an administrator asks."""
        if project_id is not None:
            admin_only(context, "os_compute_api:limits:other_project")
        return await self._limits_and_usage(context, project_id or context.project_id)

    async def defaults(self) -> QuotaLimits:
        """What a project may have unless somebody said otherwise; anyone may know."""
        return await self._quotas.limits(DEFAULT_CLASS, self._defaults)

    async def class_limits(self, context: Context) -> QuotaLimits:
        """The defaults under the name of a quota class, which only administrators may see."""
        admin_only(context, _CLASS_RULE.format("show"))
        return await self.defaults()

    async def update_class(self, context: Context, changes: Mapping[str, int]) -> QuotaLimits:
        """Change what every project may have that has no limit of its own; nobody loses what he has."""
        admin_only(context, _CLASS_RULE.format("update"))
        await self._quotas.set(DEFAULT_CLASS, changes)
        return await self.defaults()

    async def update(
        self, context: Context, project_id: str, changes: Mapping[str, int], *, is_forced: bool = False
    ) -> QuotaLimits:
        """Change some limits; raises Invalid for one below what is in use, unless it `is_forced`. All or none change."""
        admin_only(context, _RULE.format("update"))
        if not is_forced:
            refuse_below_usage(changes, await self._quotas.usage(project_id, context.user_id))
        await self._quotas.set(project_id, dict(changes))
        return await self._quotas.limits(project_id, self._defaults)

    async def reset(self, context: Context, project_id: str) -> None:
        """Let the defaults count for this project again."""
        admin_only(context, _RULE.format("delete"))
        await self._quotas.reset(project_id)

    async def _limits_and_usage(self, context: Context, project_id: str) -> tuple[QuotaLimits, Usage]:
        limits = await self._quotas.limits(project_id, self._defaults)
        return limits, await self._quotas.usage(project_id, context.user_id)


def refuse_below_usage(changes: Mapping[str, int], usage: Usage) -> None:
    """Raise Invalid for the first limit that is less than what is in use; pure."""
    for resource in _COUNTED:
        used: int = getattr(usage, resource)
        limit = changes.get(resource, UNLIMITED)
        if limit != UNLIMITED and limit < used:
            raise Invalid(
                reason=(
                    f"Quota limit {limit} for {resource} must be greater than or equal to "
                    f"already used and reserved {used}."
                )
            )
