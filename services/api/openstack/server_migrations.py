"""`/servers/{id}/migrations`: a server's live migrations that are under way. Source: nova/api/openstack/compute/server_migrations.py."""

from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Missing
from novaflow.tasks import Migration
from services.api.openstack.frame import Api, context, empty, needs, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.migrations import shown
from services.api.openstack.schema import optional, record
from services.api.openstack.server_action import server_id_of

_FORCE_COMPLETE: Final[Version] = (2, 22)
_SHOWN: Final[Version] = (2, 23)
_ABORT: Final[Version] = (2, 24)
_NOT_COUNTED: Final = ("processed_bytes", "remaining_bytes", "total_bytes")
_BODY: Final = record({"force_complete": optional(record({}))}, required=("force_complete",))


def routes(api: Api) -> list[web.RouteDef]:
    """The collection, one of it, and what can be done to that."""
    one = "/servers/{id}/migrations/{migration_id}"
    return [
        web.get("/servers/{id}/migrations", partial(_list, api)),
        web.get(one, partial(_show, api)),
        web.delete(one, partial(_abort, api)),
        web.post(f"{one}/action", partial(_force_complete, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    needs(request, _SHOWN)
    found = await api.server_actions.moves.in_progress(context(request), server_id_of(request))
    return reply({"migrations": [_shown(move) for move in found]})


async def _show(api: Api, request: web.Request) -> web.Response:
    needs(request, _SHOWN)
    move = await api.server_actions.moves.get(context(request), server_id_of(request), _number(request))
    return reply({"migration": _shown(move)})


async def _abort(api: Api, request: web.Request) -> web.Response:
    needs(request, _ABORT)
    await api.server_actions.moves.abort(context(request), server_id_of(request), _number(request))
    return empty(HTTPStatus.ACCEPTED)


async def _force_complete(api: Api, request: web.Request) -> web.Response:
    needs(request, _FORCE_COMPLETE)
    await read_body(request, _BODY)
    await api.server_actions.moves.force_complete(context(request), server_id_of(request), _number(request))
    return empty(HTTPStatus.ACCEPTED)


def _number(request: web.Request) -> int:
    given = request.match_info["migration_id"]
    if not given.isdecimal() or len(given) > 18:
        raise Missing(reason=f"Migration {given} could not be found.")
    return int(given)


def _shown(move: Migration) -> dict[str, Any]:
    """How much has been copied is not counted here: null, as Nova has it for drivers that do not tell."""
    not_counted = {f"{what}_{name}": None for what in ("disk", "memory") for name in _NOT_COUNTED}
    return shown(move) | not_counted | {"server_uuid": move.server_id}
