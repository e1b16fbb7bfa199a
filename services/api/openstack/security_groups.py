"""Security groups, and those of a server. Gone since 2.36, but for a server's.

Source: nova/api/openstack/compute/security_groups.py, contrib/security_groups.py of Icehouse.
"""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Conflict, Invalid
from novaflow.security_groups import SecurityGroup, SecurityRule
from services.api.openstack.bounds import LARGEST
from services.api.openstack.frame import Api, context, empty, needs, read_body, reply
from services.api.openstack.limits import NETWORK_GONE
from services.api.openstack.microversion import MIN
from services.api.openstack.paging import window
from services.api.openstack.schema import Check, record, text

_SHOWN: Final = text(min_length=1, max_length=255)
_BODY: Final[Check] = record(
    {"security_group": record({"name": _SHOWN, "description": text(max_length=255)}, required=("name",))},
    required=("security_group",),
)


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-security-groups`, and `/servers/{id}/os-security-groups`."""
    return [
        web.get("/os-security-groups", partial(_index, api)),
        web.post("/os-security-groups", partial(_create, api)),
        web.get("/os-security-groups/{id}", partial(_show, api)),
        web.put("/os-security-groups/{id}", partial(_update, api)),
        web.delete("/os-security-groups/{id}", partial(_delete, api)),
        web.get("/servers/{id}/os-security-groups", partial(_of_server, api)),
    ]


async def _index(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    everybodys = request.query.get("all_tenants", "").lower() in ("1", "true")
    found = await api.security_groups.list(context(request), all_projects=everybodys and context(request).is_admin)
    return reply({"security_groups": [_view(group) for group in found[window(request, api.config.api.max_limit)]]})


async def _create(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    name, description = _described(await read_body(request, _BODY))
    try:
        made = await api.security_groups.create(context(request), name, description)
    except Conflict as error:
        raise Invalid(reason=str(error)) from error
    return reply({"security_group": _view(made)})


async def _show(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    return reply({"security_group": _view(await api.security_groups.get(context(request), number_of(request)))})


async def _update(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    name, description = _described(await read_body(request, _BODY))
    try:
        changed = await api.security_groups.describe(context(request), number_of(request), name, description)
    except Conflict as error:
        raise Invalid(reason=str(error)) from error
    return reply({"security_group": _view(changed)})


async def _delete(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    try:
        await api.security_groups.delete(context(request), number_of(request))
    except Conflict as error:
        raise Invalid(reason=str(error)) from error
    return empty(HTTPStatus.ACCEPTED)


async def _of_server(api: Api, request: web.Request) -> web.Response:
    found = await api.security_groups.of_server(context(request), request.match_info["id"])
    return reply({"security_groups": [_view(group) for group in found]})


def number_of(request: web.Request) -> int:
    """The number that the url names; raises Invalid."""
    given = request.match_info["id"]
    if not given.isascii() or not given.isdigit() or int(given[:12]) > LARGEST:
        raise Invalid(reason="Security group id should be integer")
    return int(given)


def rule_view(rule: SecurityRule) -> dict[str, Any]:
    """A rule, by itself and in its group."""
    source = {"name": rule.source_name, "tenant_id": rule.source_project_id} if rule.source_id is not None else {}
    return {
        "id": rule.id,
        "parent_group_id": rule.group_id,
        "ip_protocol": rule.protocol,
        "from_port": rule.from_port,
        "to_port": rule.to_port,
        "group": source,
        "ip_range": {"cidr": rule.cidr} if rule.cidr is not None else {},
    }


def _view(group: SecurityGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "tenant_id": group.project_id,
        "rules": [rule_view(rule) for rule in group.rules],
    }


def _described(body: Mapping[str, Any]) -> tuple[str, str]:
    given = body["security_group"]
    name = given["name"].strip()
    if not name:
        raise Invalid(reason="Security group name cannot be empty.")
    return name, given.get("description", "").strip()
