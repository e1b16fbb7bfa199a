"""Flavors: who sees which, and what administrators do with them.

Everyone sees the public flavors and the private ones their project was given; administrators see all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from novaflow.db.flavors import Flavors
from novaflow.errors import Conflict, Invalid, Missing, NotFound
from novaflow.models import Context, Flavor, Value
from novaflow.operations.rights import admin_only

_MANAGE: Final = "os_compute_api:os-flavor-manage:{}"
_EXTRA_SPECS: Final = "os_compute_api:os-flavor-extra-specs:{}"
_ACCESS: Final = "os_compute_api:os-flavor-access"

SORT_KEYS: Final[Mapping[str, Callable[[Flavor], str | int | float]]] = {
    "flavorid": lambda flavor: flavor.id,
    "id": lambda flavor: flavor.id,
    "name": lambda flavor: flavor.name,
    "memory_mb": lambda flavor: flavor.ram_mb,
    "vcpus": lambda flavor: flavor.vcpus,
    "root_gb": lambda flavor: flavor.disk_gb,
    "ephemeral_gb": lambda flavor: flavor.ephemeral_gb,
    "swap": lambda flavor: flavor.swap_mb,
    "rxtx_factor": lambda flavor: flavor.rxtx_factor,
    "is_public": lambda flavor: flavor.is_public,
    "disabled": lambda flavor: flavor.is_disabled,
    "description": lambda flavor: flavor.description or "",
}
"""What lists can be sorted by, under Nova's names."""


class FlavorQuery(Value, frozen=True, kw_only=True):
    """Which flavors, in which order. `is_public` None: all; it counts for administrators only."""

    is_public: bool | None = True
    min_ram_mb: int = 0
    min_disk_gb: int = 0
    sort_key: str = "flavorid"
    is_descending: bool = False
    marker: str | None = None
    limit: int | None = None


class FlavorOperations:
    """What can be done with flavors."""

    def __init__(self, flavors: Flavors) -> None:
        self._flavors = flavors

    async def list(self, context: Context, query: FlavorQuery) -> Sequence[Flavor]:
        """The flavors the caller may see, filtered, sorted and paged; raises Invalid for an unknown marker."""
        if context.is_admin and query.is_public is not True:
            visible = await self._flavors.all()
        else:
            visible = await self._flavors.all(project_id=context.project_id)
        return select(visible, query, is_admin=context.is_admin)

    async def get(self, context: Context, flavor_id: str) -> Flavor:
        """One flavor; raises NotFound, also for a private one of others."""
        found = await self._flavors.get(flavor_id)
        if found.is_public or context.is_admin:
            return found
        if context.project_id in await self._flavors.projects(flavor_id):
            return found
        raise NotFound(kind="Flavor", key=flavor_id)

    async def wanted(self, context: Context, flavor_id: str) -> Flavor:
        """The flavor that a request asks for; raises Invalid, with `get`'s words, where `get` raises NotFound."""
        try:
            return await self.get(context, flavor_id)
        except NotFound as error:
            raise Invalid(reason=str(error)) from error

    async def create(self, context: Context, flavor: Flavor) -> Flavor:
        """Record a new flavor; raises Conflict when its id or name is taken."""
        admin_only(context, _MANAGE.format("create"))
        return await self._flavors.create(flavor)

    async def delete(self, context: Context, flavor_id: str) -> None:
        """Remove a flavor; servers made from it keep their sizes. Raises NotFound."""
        admin_only(context, _MANAGE.format("delete"))
        await self._flavors.delete(flavor_id)

    async def set_extra_specs(
        self, context: Context, flavor_id: str, specs: Mapping[str, str], *, action: str = "create"
    ) -> None:
        """Add or replace properties; raises NotFound."""
        admin_only(context, _EXTRA_SPECS.format(action))
        await self._flavors.set_extra_specs(flavor_id, dict(specs))

    async def extra_spec(self, context: Context, flavor_id: str, key: str) -> str:
        """One property's value; raises NotFound, Missing."""
        found = await self.get(context, flavor_id)
        try:
            return found.extra_specs[key]
        except KeyError:
            raise _no_extra_spec(flavor_id, key) from None

    async def delete_extra_spec(self, context: Context, flavor_id: str, key: str) -> None:
        """Remove one property; raises NotFound, Missing."""
        admin_only(context, _EXTRA_SPECS.format("delete"))
        await self.extra_spec(context, flavor_id, key)
        await self._flavors.delete_extra_spec(flavor_id, key)

    async def access(self, context: Context, flavor_id: str) -> Sequence[str]:
        """The projects that were given a private flavor; raises NotFound, Missing for a public one."""
        admin_only(context, _ACCESS)
        if (await self._flavors.get(flavor_id)).is_public:
            raise Missing(reason="Access list not available for public flavors.")
        return await self._flavors.projects(flavor_id)

    async def add_access(
        self, context: Context, flavor_id: str, project_id: str, *, may_be_public: bool = False
    ) -> Sequence[str]:
        """Give a project a private flavor; answers all that have it. Raises NotFound, Conflict."""
        admin_only(context, f"{_ACCESS}:add_tenant_access")
        if (await self._flavors.get(flavor_id)).is_public and not may_be_public:
            raise Conflict(reason="Can not add access to a public flavor.")
        await self._flavors.add_access(flavor_id, project_id)
        return await self._flavors.projects(flavor_id)

    async def remove_access(self, context: Context, flavor_id: str, project_id: str) -> Sequence[str]:
        """Take a private flavor from a project; answers all that still have it. Raises NotFound, Missing."""
        admin_only(context, f"{_ACCESS}:remove_tenant_access")
        await self._flavors.get(flavor_id)
        if project_id not in await self._flavors.projects(flavor_id):
            raise Missing(reason=f"Flavor access not found for {flavor_id} / {project_id} combination.")
        await self._flavors.remove_access(flavor_id, project_id)
        return await self._flavors.projects(flavor_id)


def select(flavors: Iterable[Flavor], query: FlavorQuery, *, is_admin: bool) -> Sequence[Flavor]:
    """What `query` leaves of `flavors`, in its order; pure. Raises Invalid for an unknown marker."""
    chosen = [flavor for flavor in flavors if _fits(flavor, query, is_admin=is_admin)]
    key = SORT_KEYS[query.sort_key]
    chosen.sort(key=lambda flavor: flavor.id)
    chosen.sort(key=key, reverse=query.is_descending)
    start = 0
    if query.marker is not None:
        positions = [place for place, flavor in enumerate(chosen) if flavor.id == query.marker]
        if not positions:
            raise Invalid(reason=f"marker [{query.marker}] not found")
        start = positions[0] + 1
    return chosen[start:] if query.limit is None else chosen[start : start + query.limit]


def _fits(flavor: Flavor, query: FlavorQuery, *, is_admin: bool) -> bool:
    if flavor.is_disabled and not is_admin:
        return False
    if is_admin and query.is_public is False and flavor.is_public:
        return False
    return flavor.ram_mb >= query.min_ram_mb and flavor.disk_gb >= query.min_disk_gb


def _no_extra_spec(flavor_id: str, key: str) -> Missing:
    return Missing(reason=f"Flavor {flavor_id} has no extra specs with key {key}.")
