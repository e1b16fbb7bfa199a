"""Host aggregates: administrators put hosts into sets, and with a zone into an availability zone.

A host is in one aggregate's zone at most, and no server changes its zone by a change of aggregates.
Source: nova/compute/api.py (AggregateAPI).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from novaflow.db.aggregates import Aggregates, Placement
from novaflow.errors import Conflict, Invalid, Missing, NotFound
from novaflow.hosts import Aggregate
from novaflow.models import Context
from novaflow.operations.rights import admin_only

ZONE: Final = "availability_zone"
"""The metadata item that is the zone."""
_RULE: Final = "os_compute_api:os-aggregates:{}"
_UPDATE: Final = "Cannot update aggregate {}. Reason: {}."
_UPDATE_METADATA: Final = "Cannot update metadata of aggregate {}. Reason: {}."
_ADD: Final = "Cannot add host to aggregate {}. Reason: {}."
_REMOVE: Final = "Cannot remove host from aggregate {}. Reason: {}."
_WOULD_MOVE: Final = (
    "The host cannot be {} the aggregate as the availability zone of the host would change from '{}' to '{}' but the host already "
    "has {} instance(s). Changing the AZ of an existing instance is not supported by this action. Move the instances away from this "
    "host then try again. If you need to move the instances between AZs then you can use shelve_offload and unshelve to achieve this."
)


class AggregateOperations:
    """What administrators do with aggregates. Unknown ones are NotFound."""

    def __init__(self, aggregates: Aggregates) -> None:
        self._aggregates = aggregates

    async def list(self, context: Context) -> Sequence[Aggregate]:
        """Every aggregate."""
        admin_only(context, _RULE.format("index"))
        return await self._aggregates.list()

    async def get(self, context: Context, aggregate_id: int) -> Aggregate:
        """One aggregate."""
        admin_only(context, _RULE.format("show"))
        return await self._aggregates.get(aggregate_id)

    async def create(self, context: Context, name: str, zone: str | None) -> Aggregate:
        """A new one without hosts. Raises Conflict for a name that is taken."""
        admin_only(context, _RULE.format("create"))
        return await self._aggregates.create(name, zone)

    async def update(self, context: Context, aggregate_id: int, changes: Mapping[str, str | None]) -> Aggregate:
        """Change `name` or `availability_zone`. Raises Conflict for a name that is taken, Invalid for a zone that cannot be."""
        admin_only(context, _RULE.format("update"))
        check = partial(refuse_zone, changes, text=_UPDATE)
        return await self._aggregates.change(
            aggregate_id, name=changes.get("name"), zone=changes.get(ZONE), check=check
        )

    async def set_metadata(self, context: Context, aggregate_id: int, items: Mapping[str, str | None]) -> Aggregate:
        """Set these items, drop those that are null, keep the others. Raises Invalid for a zone that cannot be."""
        admin_only(context, _RULE.format("set_metadata"))
        others = {key: value for key, value in items.items() if key != ZONE}
        check = partial(refuse_zone, items, text=_UPDATE_METADATA)
        return await self._aggregates.change(aggregate_id, zone=items.get(ZONE), metadata=others, check=check)

    async def delete(self, context: Context, aggregate_id: int) -> None:
        """Remove one that has no hosts; raises Invalid while it has some."""
        admin_only(context, _RULE.format("delete"))
        await self._aggregates.delete(aggregate_id, refuse_hosts)

    async def add_host(self, context: Context, aggregate_id: int, host: str) -> Aggregate:
        """Put a host into it. Raises Missing for an unknown host, Conflict for one that is in it or in another zone."""
        admin_only(context, _RULE.format("add_host"))
        if not await self._aggregates.has_host(host):
            raise Missing(reason=f"Compute host {host} could not be found.")
        return await self._aggregates.add_host(aggregate_id, host, refuse_joining)

    async def remove_host(self, context: Context, aggregate_id: int, host: str) -> Aggregate:
        """Take a host out of it. Raises Missing for a host that is not in it, Conflict while its servers would change their zone."""
        admin_only(context, _RULE.format("remove_host"))
        try:
            return await self._aggregates.remove_host(aggregate_id, host, refuse_leaving)
        except (NotFound, Missing):
            raise Missing(reason=f"Cannot remove host {host} in aggregate {aggregate_id}") from None


def refuse_zone(items: Mapping[str, str | None], placement: Placement, *, text: str) -> None:
    """Raise Invalid when `items` name a zone that the aggregate cannot have; pure."""
    if ZONE not in items:
        return
    aggregate, zone = placement.aggregate, items[ZONE]
    if not zone:
        said = f"Aggregate {aggregate.name} does not support empty named availability zone"
        raise Invalid(reason=text.format(aggregate.id, said))
    if others := _others(placement, zone):
        raise Invalid(reason=text.format(aggregate.id, _taken(others)))
    if zone != aggregate.availability_zone and placement.servers:
        raise Invalid(reason=text.format(aggregate.id, "One or more hosts contain instances in this zone"))


def refuse_joining(placement: Placement) -> None:
    """Raise Conflict when the host is in another zone, or its servers would get into one; pure."""
    aggregate = placement.aggregate
    zone = aggregate.availability_zone
    if not zone:
        return
    if others := _others(placement, zone):
        raise Conflict(reason=_ADD.format(aggregate.id, _taken(others)))
    if placement.servers and zone not in placement.zones:
        said = _WOULD_MOVE.format("added to", None, zone, placement.servers)
        raise Conflict(reason=_ADD.format(aggregate.id, said.rstrip(".")))


def refuse_leaving(placement: Placement) -> None:
    """Raise Conflict when the host's servers would leave their zone with it; pure."""
    aggregate = placement.aggregate
    zone = aggregate.availability_zone
    if zone and placement.servers and zone not in placement.zones:
        said = _WOULD_MOVE.format("removed from", zone, None, placement.servers)
        raise Conflict(reason=_REMOVE.format(aggregate.id, said.rstrip(".")))


def refuse_hosts(aggregate: Aggregate) -> None:
    """Raise Invalid when it has hosts, in Nova's words; pure."""
    if aggregate.hosts:
        raise Invalid(reason=_REMOVE.format(aggregate.id, "Host aggregate is not empty"))


def _others(placement: Placement, zone: str) -> list[str]:
    return [other for other in placement.zones if other != zone]


def _taken(zones: Sequence[str]) -> str:
    return f"One or more hosts already in availability zone(s) {zones}"
