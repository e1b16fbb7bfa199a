"""Actions that look at a server's guest, or make it dump what it has in memory.

Sources: nova/api/openstack/compute/console_output.py, remote_consoles.py, servers.py (_action_trigger_crash_dump).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from services.api.openstack.frame import Api, context, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import choice, integer, optional, record
from services.api.openstack.server_action import Act, Action, Actions, accepting, action, server_id_of
from services.api.openstack.server_consoles import vnc_url

# What JSON can carry and a terminal should not see; Nova strips the same.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0B-\x1F]")
_REMOTE_CONSOLES: Final[Version] = (2, 6)  # the resource that took the place of four actions


async def _console_output(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    length: int | None = body.get("length")
    lines = None if length == -1 else length
    output = await api.server_actions.guests.console_output(context(request), server_id_of(request), lines)
    return reply({"output": _UNPRINTABLE.sub("", output)})


async def _vnc_console(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    url = await vnc_url(api, context(request), server_id_of(request), action="get_vnc_console")
    return reply({"console": {"type": body["type"], "url": url}})


def _console(act: Act, kind: str, *more: str) -> Action:
    return action(act, record({"type": choice(kind, *more)}, required=("type",)), before=_REMOTE_CONSOLES)


def _unavailable(method: str) -> Act:
    """A console that this cloud, like Nova unless it is told to, does not serve."""

    async def act(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
        who, server_id = context(request), server_id_of(request)
        await api.server_actions.guests.refuse_console(who, server_id, body["type"], action=method)

    return act


ACTIONS: Final[Actions] = {
    "os-getConsoleOutput": action(_console_output, record({"length": optional(integer(minimum=-1))})),
    "os-getVNCConsole": _console(_vnc_console, "novnc", "xvpvnc"),
    "os-getSPICEConsole": _console(_unavailable("get_spice_console"), "spice-html5"),
    "os-getRDPConsole": _console(_unavailable("get_rdp_console"), "rdp-html5"),
    "os-getSerialConsole": _console(_unavailable("get_serial_console"), "serial"),
    "trigger_crash_dump": action(accepting(lambda api: api.server_actions.guests.crash), since=(2, 17)),
}
