"""Rules of security groups. Gone since 2.36. Source: nova/api/openstack/compute/security_groups.py (SecurityGroupRulesController)."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Conflict, Invalid
from novaflow.operations.security_rules import rule
from novaflow.security_groups import SecurityRule
from services.api.openstack.bounds import LARGEST
from services.api.openstack.frame import Api, context, empty, needs, read_body, reply
from services.api.openstack.limits import NETWORK_GONE
from services.api.openstack.microversion import MIN
from services.api.openstack.schema import Check, integer, optional, record, text
from services.api.openstack.security_groups import number_of, rule_view

_PORT: Final = optional(integer(-1, LARGEST))
_FIELDS: Final[Mapping[str, Check]] = {
    "parent_group_id": integer(0, LARGEST),
    "group_id": optional(integer(0, LARGEST)),
    "ip_protocol": optional(text(max_length=255)),
    "from_port": _PORT,
    "to_port": _PORT,
    "cidr": optional(text(max_length=64)),
}
_BODY: Final = record(
    {"security_group_rule": record(_FIELDS, required=("parent_group_id",))}, required=("security_group_rule",)
)


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-security-group-rules`."""
    return [
        web.post("/os-security-group-rules", partial(_create, api)),
        web.delete("/os-security-group-rules/{id}", partial(_delete, api)),
    ]


async def _create(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    given = (await read_body(request, _BODY))["security_group_rule"]
    try:
        (made,) = await api.security_groups.add_rules(context(request), given["parent_group_id"], [_asked(given)])
    except Conflict as error:
        raise Invalid(reason=str(error)) from error
    return reply({"security_group_rule": rule_view(made)})


async def _delete(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    await api.security_groups.delete_rule(context(request), number_of(request))
    return empty(HTTPStatus.ACCEPTED)


def _asked(given: Mapping[str, Any]) -> SecurityRule:
    protocol, from_port, to_port = (given.get(name) for name in ("ip_protocol", "from_port", "to_port"))
    if protocol is None or from_port is None or to_port is None:
        raise Invalid(reason="Not enough parameters to build a valid rule.")
    return rule(protocol, from_port, to_port, cidr=given.get("cidr"), source_id=given.get("group_id"))
