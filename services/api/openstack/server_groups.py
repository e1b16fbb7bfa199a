"""Server groups. Source: nova/api/openstack/compute/server_groups.py and its schema."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.models import ServerGroup
from novaflow.operations.server_groups import AFFINITY, ANTI_AFFINITY, SOFT_AFFINITY, SOFT_ANTI_AFFINITY
from services.api.openstack.bounds import LARGEST
from services.api.openstack.frame import Api, context, empty, microversion, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.paging import window
from services.api.openstack.schema import Check, array, choice, integer, name, record

OWNER: Final[Version] = (2, 13)
SOFT: Final[Version] = (2, 15)
RULES: Final[Version] = (2, 64)
_MAX: Final = "max_server_per_host"


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-server-groups`."""
    return [
        web.get("/os-server-groups", partial(_index, api)),
        web.post("/os-server-groups", partial(_create, api)),
        web.get("/os-server-groups/{id}", partial(_show, api)),
        web.delete("/os-server-groups/{id}", partial(_delete, api)),
    ]


async def _index(api: Api, request: web.Request) -> web.Response:
    part = window(request, api.config.api.max_limit)
    found = await api.server_groups.list(context(request), all_projects="all_projects" in request.query)
    return reply({"server_groups": [_view(group, microversion(request)) for group in found[part]]})


async def _create(api: Api, request: web.Request) -> web.Response:
    version = microversion(request)
    given = (await read_body(request, _schema(version)))["server_group"]
    policy, most = _policy(given) if version >= RULES else (given["policies"][0], None)
    made = await api.server_groups.create(context(request), given["name"], policy, max_server_per_host=most)
    return reply({"server_group": _view(made, version)})


async def _show(api: Api, request: web.Request) -> web.Response:
    found = await api.server_groups.get(context(request), request.match_info["id"])
    return reply({"server_group": _view(found, microversion(request))})


async def _delete(api: Api, request: web.Request) -> web.Response:
    await api.server_groups.delete(context(request), request.match_info["id"])
    return empty(HTTPStatus.NO_CONTENT)


def _policy(given: Mapping[str, Any]) -> tuple[str, int | None]:
    """The policy, and how many servers one host may have, if that was said."""
    policy, rules = given["policy"], given.get("rules", {})
    if rules and policy != ANTI_AFFINITY:
        raise Invalid(reason="Only anti-affinity policy supports rules.")
    return policy, rules.get(_MAX)


def _view(group: ServerGroup, version: Version) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": group.id, "name": group.name}
    if version >= RULES:
        has_rule = group.policy == ANTI_AFFINITY and group.max_server_per_host > 1
        shown |= {"policy": group.policy, "rules": {_MAX: group.max_server_per_host} if has_rule else {}}
    else:
        shown |= {"policies": [group.policy], "metadata": {}}
    shown["members"] = list(group.members)
    if version >= OWNER:
        shown |= {"project_id": group.project_id, "user_id": group.user_id}
    return shown


def _schema(version: Version) -> Check:
    policies = (ANTI_AFFINITY, AFFINITY, *((SOFT_ANTI_AFFINITY, SOFT_AFFINITY) if version >= SOFT else ()))
    if version < RULES:
        listed = array(choice(*policies), min_items=1, max_items=1)
        fields: dict[str, Check] = {"name": name(), "policies": listed}
        return record({"server_group": record(fields, required=tuple(fields))}, required=("server_group",))
    rules = record({_MAX: integer(1, LARGEST)})
    fields = {"name": name(), "policy": choice(*policies), "rules": rules}
    return record({"server_group": record(fields, required=("name", "policy"))}, required=("server_group",))
