"""Server groups: servers of a project that shall share a host, or must not. Source: nova/api/openstack/compute/server_groups.py."""

from collections.abc import Sequence
from typing import Final

from novaflow.clock import Clock
from novaflow.db.ids import new_uuid
from novaflow.db.server_groups import ServerGroups
from novaflow.errors import LimitExceeded, QuotaExceeded
from novaflow.models import Context, ServerGroup
from novaflow.operations.rights import admin_or_owner
from novaflow.quotas import QuotaLimits

AFFINITY: Final = "affinity"
ANTI_AFFINITY: Final = "anti-affinity"
SOFT_AFFINITY: Final = "soft-affinity"
SOFT_ANTI_AFFINITY: Final = "soft-anti-affinity"
_RULE: Final = "os_compute_api:os-server-groups:{}"


class ServerGroupOperations:
    """What members of a project do with its groups, and administrators with all. Unknown ones are NotFound."""

    def __init__(self, groups: ServerGroups, defaults: QuotaLimits, clock: Clock) -> None:
        self._groups = groups
        self._defaults = defaults
        self._clock = clock

    async def list(self, context: Context, *, all_projects: bool = False) -> Sequence[ServerGroup]:
        """The project's groups; an administrator may ask for all."""
        return await self._groups.list(None if all_projects and context.is_admin else context.project_id)

    async def get(self, context: Context, group_id: str) -> ServerGroup:
        """One group; raises Forbidden for another project's."""
        return await self._get(context, group_id, "show")

    async def create(
        self, context: Context, name: str, policy: str, *, max_server_per_host: int | None = None
    ) -> ServerGroup:
        """A new group without servers; raises LimitExceeded when there are too many."""
        group = ServerGroup(
            id=new_uuid(),
            name=name,
            policy=policy,
            max_server_per_host=max_server_per_host or 1,
            project_id=context.project_id,
            user_id=context.user_id,
            created_at=self._clock.now(),
        )
        try:
            return await self._groups.create(group, self._defaults)
        except QuotaExceeded:
            raise LimitExceeded(reason="Quota exceeded, too many server groups.") from None

    async def delete(self, context: Context, group_id: str) -> None:
        """Remove a group; its servers stay where they are. Raises Forbidden for another project's."""
        await self._get(context, group_id, "delete")
        await self._groups.delete(group_id)

    async def _get(self, context: Context, group_id: str, action: str) -> ServerGroup:
        found = await self._groups.get(group_id)
        admin_or_owner(context, found.project_id, _RULE.format(action))
        return found
