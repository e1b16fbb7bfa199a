"""Which projects have a private flavor. Source: nova/api/openstack/compute/flavor_access.py and its schema."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from services.api.openstack.bounds import LONGEST_ID
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, checked, context, microversion, read_json, reply
from services.api.openstack.schema import record, text


def routes(api: Api) -> list[web.RouteDef]:
    """`/flavors/{id}/os-flavor-access` and the actions that change it."""

    async def index(request: web.Request) -> web.Response:
        flavor_id = request.match_info["id"]
        return reply(_view(flavor_id, await api.flavors.access(context(request), flavor_id)))

    async def act(request: web.Request) -> web.Response:
        body = await read_json(request)
        asked = next(iter(body)) if len(body) == 1 else ""
        if asked not in _ACTIONS:
            raise HttpFault(HTTPStatus.BAD_REQUEST, f"There is no such action: {', '.join(body)[:64]}")
        project_id: str = checked(body, _ACTIONS[asked])[asked]["tenant"]
        flavor_id = request.match_info["id"]
        if asked == "removeTenantAccess":
            projects = await api.flavors.remove_access(context(request), flavor_id, project_id)
        else:
            # Before 2.7, giving away what everyone has was taken without complaint.
            may_be_public = microversion(request) < (2, 7)
            projects = await api.flavors.add_access(
                context(request), flavor_id, project_id, may_be_public=may_be_public
            )
        return reply(_view(flavor_id, projects))

    return [
        web.get("/flavors/{id}/os-flavor-access", index),
        web.post("/flavors/{id}/action", act),
    ]


def _view(flavor_id: str, projects: Sequence[str]) -> dict[str, Any]:
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project_id} for project_id in projects]}


_TENANT: Final = record({"tenant": text(min_length=1, max_length=LONGEST_ID)}, required=("tenant",))
_ACTIONS: Final = {
    action: record({action: _TENANT}, required=(action,)) for action in ("addTenantAccess", "removeTenantAccess")
}
