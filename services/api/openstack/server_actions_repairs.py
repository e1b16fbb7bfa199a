"""Actions by which administrators mend servers. Source: nova/api/openstack/compute/admin_actions.py."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from services.api.openstack.frame import Api, context, empty
from services.api.openstack.schema import choice, record
from services.api.openstack.server_action import Act, Actions, action, server_id_of

_RESET_STATE: Final = record({"state": choice("active", "error")}, required=("state",))


async def _reset_state(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    is_active = body["state"] == "active"
    await api.server_actions.repairs.reset_state(context(request), server_id_of(request), is_active=is_active)
    return empty(HTTPStatus.ACCEPTED)


def _mending(rule: str) -> Act:
    async def act(api: Api, request: web.Request, _: object) -> web.Response:
        await api.server_actions.repairs.mend_network(context(request), server_id_of(request), rule)
        return empty(HTTPStatus.ACCEPTED)

    return act


ACTIONS: Final[Actions] = {
    "os-resetState": action(_reset_state, _RESET_STATE),
    "resetNetwork": action(_mending("reset_network")),
    "injectNetworkInfo": action(_mending("inject_network_info")),
}
