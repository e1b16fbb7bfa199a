"""`/os-migrations`: every move of every server, for administrators. Source: nova/api/openstack/compute/migrations.py."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from novaflow.db.migration_records import MigrationQuery
from novaflow.db.moving import LIVE
from novaflow.models import Flavor
from novaflow.operations.server_moves import IN_PROGRESS, status_of
from novaflow.tasks import Migration
from services.api.openstack.frame import Api, Links, context, links, microversion, reply
from services.api.openstack.microversion import Version
from services.api.openstack.times import microseconds

_WITH_TYPE: Final[Version] = (2, 23)
_FILTERS: Final[Mapping[str, str]] = {
    "host": "host",
    "instance_uuid": "server_id",
    "migration_type": "type",
    "source_compute": "source_host",
}


def routes(api: Api) -> list[web.RouteDef]:
    """The list."""

    async def index(request: web.Request) -> web.Response:
        given = request.query
        query = MigrationQuery(**{field: given[name] for name, field in _FILTERS.items() if name in given})
        found = await api.server_actions.moves.list(context(request), query, given.get("status"))
        here = links(request) if microversion(request) >= _WITH_TYPE else None
        return reply({"migrations": [_shown(move, here) for move in found]})

    return [web.get("/os-migrations", index)]


def shown(move: Migration) -> dict[str, Any]:
    """What a move is shown with wherever it is."""
    return {
        "created_at": microseconds(move.created_at),
        "dest_compute": move.dest_host,
        "dest_host": None,
        "dest_node": move.dest_host,
        "id": move.id,
        "source_compute": move.source_host,
        "source_node": move.source_host,
        "status": status_of(move),
        "updated_at": microseconds(move.updated_at),
    }


def _shown(move: Migration, here: Links | None) -> dict[str, Any]:
    facts = shown(move) | {
        "instance_uuid": move.server_id,
        "new_instance_type_id": _number(move.new_flavor),
        "old_instance_type_id": _number(move.old_flavor),
    }
    if here is not None:
        facts["migration_type"] = move.type
        if move.type == LIVE and facts["status"] in IN_PROGRESS:
            facts["links"] = here.to(f"servers/{move.server_id}/migrations", str(move.id))
    return facts


def _number(flavor: Flavor) -> int | str:
    """Nova shows the number of the flavor's row; here its id is all there is, mostly a number too."""
    return int(flavor.id) if flavor.id.isdecimal() else flavor.id
