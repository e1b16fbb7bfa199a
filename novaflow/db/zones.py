"""Which availability zone a host is in: its aggregate's, if one that it is in has one, else its own. Source: nova/availability_zones.py."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.sql.elements import ColumnElement

from novaflow.db.schema.aggregates import aggregate_hosts, aggregates


def zone_of(host: ColumnElement[Any], own: ColumnElement[Any]) -> ColumnElement[Any]:
    """The zone of the host of that name, whose own zone is `own`. A host is in one aggregate's zone at most."""
    found = (
        select(func.min(aggregates.c.availability_zone))
        .join_from(aggregate_hosts, aggregates, aggregates.c.id == aggregate_hosts.c.aggregate_id)
        .where(aggregate_hosts.c.host == host)
        .scalar_subquery()
    )
    return func.coalesce(found, own)
