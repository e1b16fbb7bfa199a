"""`POST /servers/{id}/action`: one action per body, named by its only key.

Source: nova/api/openstack/compute/servers.py, nova/api/openstack/compute/console_output.py.
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, checked, context, empty, read_json, reply
from services.api.openstack.schema import Check, anything, choice, integer, optional, record
from services.web import SPAN

Body = dict[str, Any]
Action = Callable[[Api, web.Request, Body], Awaitable[web.Response]]

# What JSON can carry and a terminal should not see; Nova strips the same.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0B-\x1F]")
_REBOOT_TYPE: Final = choice("HARD", "Hard", "hard", "SOFT", "Soft", "soft")


def routes(api: Api) -> list[web.RouteDef]:
    """The one url of all actions."""
    return [web.post("/servers/{id}/action", partial(_act, api))]


async def _act(api: Api, request: web.Request) -> web.Response:
    body = await read_json(request)
    if len(body) != 1:
        raise HttpFault(HTTPStatus.BAD_REQUEST, "Malformed request body")
    named = next(iter(body))
    if named not in _ACTIONS:
        raise HttpFault(HTTPStatus.BAD_REQUEST, f"There is no such action: {named[:255]}")
    check, action = _ACTIONS[named]
    request[SPAN].attributes.update(server_id=request.match_info["id"], action=named)
    return await action(api, request, checked(body, record({named: check})))


async def _start(api: Api, request: web.Request, _body: Body) -> web.Response:
    await api.server_actions.start(context(request), request.match_info["id"])
    return empty(HTTPStatus.ACCEPTED)


async def _stop(api: Api, request: web.Request, _body: Body) -> web.Response:
    await api.server_actions.stop(context(request), request.match_info["id"])
    return empty(HTTPStatus.ACCEPTED)


async def _reboot(api: Api, request: web.Request, body: Body) -> web.Response:
    is_hard = body["reboot"]["type"].upper() == "HARD"
    await api.server_actions.reboot(context(request), request.match_info["id"], hard=is_hard)
    return empty(HTTPStatus.ACCEPTED)


async def _console_output(api: Api, request: web.Request, body: Body) -> web.Response:
    length: int | None = body["os-getConsoleOutput"].get("length")
    lines = None if length == -1 else length
    output = await api.server_actions.console_output(context(request), request.match_info["id"], lines)
    return reply({"output": _UNPRINTABLE.sub("", output)})


_ACTIONS: Final[dict[str, tuple[Check, Action]]] = {
    "os-start": (anything, _start),
    "os-stop": (anything, _stop),
    "reboot": (record({"type": _REBOOT_TYPE}, required=("type",)), _reboot),
    "os-getConsoleOutput": (record({"length": optional(integer(minimum=-1))}), _console_output),
}
