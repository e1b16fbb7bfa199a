"""A server's security groups and floating addresses. Sources: nova/api/openstack/compute/security_groups.py, floating_ips.py.

What these change is kept and shown. The answers say in a Warning (RFC 7234, 5.5) that it changes nothing of what reaches the guest.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Conflict, Invalid
from novaflow.operations.floating_addresses import NOT_ROUTED
from novaflow.operations.security_groups import NOT_APPLIED
from services.api.openstack.frame import Api, context
from services.api.openstack.microversion import Version
from services.api.openstack.schema import ip_address, optional, record, text
from services.api.openstack.server_action import Act, Actions, action, server_id_of

FLOATING_GONE: Final[Version] = (2, 44)
_GROUP: Final = record({"name": text(min_length=1, max_length=255)}, required=("name",))
_GIVEN: Final = record({"address": ip_address(4), "fixed_address": optional(ip_address(4))}, required=("address",))
_TAKEN: Final = record({"address": ip_address(4)}, required=("address",))


def _moving(*, joins: bool) -> Act:
    async def act(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
        groups = api.security_groups
        move = groups.add_to_server if joins else groups.remove_from_server
        try:
            await move(context(request), server_id_of(request), body["name"])
        except Conflict as error:
            raise Invalid(reason=str(error)) from error
        return _accepted(NOT_APPLIED)

    return act


async def _give(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    await api.floating_addresses.associate(
        context(request), server_id_of(request), body["address"], body.get("fixed_address")
    )
    return _accepted(NOT_ROUTED)


async def _take(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    await api.floating_addresses.disassociate(context(request), server_id_of(request), body["address"])
    return _accepted(NOT_ROUTED)


def _accepted(warning: str) -> web.Response:
    return web.Response(status=HTTPStatus.ACCEPTED, headers={"Warning": f'299 - "{warning}"'})


ACTIONS: Final[Actions] = {
    "addSecurityGroup": action(_moving(joins=True), _GROUP),
    "removeSecurityGroup": action(_moving(joins=False), _GROUP),
    "addFloatingIp": action(_give, _GIVEN, before=FLOATING_GONE),
    "removeFloatingIp": action(_take, _TAKEN, before=FLOATING_GONE),
}
