"""`POST /servers/{id}/action`: one action per body, named by its only key.

The registry of all actions is here; what each may say and does is in the files beside this one. Source: nova/api/openstack/wsgi.py
(action) and nova/api/openstack/compute/routes.py.
"""

from functools import partial
from http import HTTPStatus
from typing import Final

from aiohttp import web

from services.api.openstack import (
    server_actions_consoles,
    server_actions_ends,
    server_actions_images,
    server_actions_moves,
    server_actions_network,
    server_actions_power,
    server_actions_repairs,
    server_actions_resizes,
    server_actions_systems,
)
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, checked, microversion, needs, read_json
from services.api.openstack.schema import record
from services.api.openstack.server_action import Actions
from services.web import SPAN

ACTIONS: Final[Actions] = {
    **server_actions_power.ACTIONS,
    **server_actions_systems.ACTIONS,
    **server_actions_images.ACTIONS,
    **server_actions_resizes.ACTIONS,
    **server_actions_moves.ACTIONS,
    **server_actions_ends.ACTIONS,
    **server_actions_repairs.ACTIONS,
    **server_actions_consoles.ACTIONS,
    **server_actions_network.ACTIONS,
}


def routes(api: Api) -> list[web.RouteDef]:
    """The one url of all actions."""
    return [web.post("/servers/{id}/action", partial(_act, api))]


async def _act(api: Api, request: web.Request) -> web.Response:
    body = await read_json(request)
    if len(body) != 1:
        raise HttpFault(HTTPStatus.BAD_REQUEST, "Malformed request body")
    named = next(iter(body))
    action = ACTIONS.get(named)
    if action is None:
        raise HttpFault(HTTPStatus.BAD_REQUEST, f"There is no such action: {named[:255]}")
    needs(request, action.since, action.before)
    check = action.check_at(microversion(request))
    request[SPAN].attributes.update(server_id=request.match_info["id"], action=named)
    return await action.act(api, request, checked(body, record({named: check}))[named])
