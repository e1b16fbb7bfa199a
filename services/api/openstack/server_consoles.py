"""`/servers/{id}/remote-consoles`, and the server's screen as a picture.

The first is Nova's (nova/api/openstack/compute/remote_consoles.py). There is no web page between a client and the screen: the url of a VNC
console is the address where the host serves it, for any VNC viewer. The picture is an extension of ours, `os-novaflow-screenshot`.
"""

from functools import cache, partial
from typing import Any, Final

from aiohttp import web

from novaflow.models import Context
from services.api.openstack.frame import Api, context, microversion, needs, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import Check, choice, record
from services.api.openstack.server_action import server_id_of

VNC: Final = "vnc"
_SINCE: Final[Version] = (2, 6)
_WITH_MKS: Final[Version] = (2, 8)
_PROTOCOLS: Final = (VNC, "spice", "rdp", "serial")
_TYPES: Final = ("novnc", "xvpvnc", "rdp-html5", "spice-html5", "serial")


def routes(api: Api) -> list[web.RouteDef]:
    """The consoles of one server."""
    return [
        web.post("/servers/{id}/remote-consoles", partial(_create, api)),
        web.get("/servers/{id}/os-novaflow-screenshot", partial(_screenshot, api)),
    ]


async def vnc_url(api: Api, who: Context, server_id: str, *, action: str) -> str:
    """Where a VNC viewer sees the server's screen."""
    where = await api.server_actions.guests.console(who, server_id, action=action)
    host = f"[{where.host}]" if ":" in where.host else where.host
    return f"vnc://{host}:{where.port}"


@cache
def _schema(version: Version) -> Check:
    has_mks = version >= _WITH_MKS
    protocol = choice(*_PROTOCOLS, *(["mks"] if has_mks else []))
    kind = choice(*_TYPES, *(["webmks"] if has_mks else []))
    asked = record({"protocol": protocol, "type": kind}, required=("protocol", "type"))
    return record({"remote_console": asked}, required=("remote_console",))


async def _create(api: Api, request: web.Request) -> web.Response:
    needs(request, _SINCE)
    asked: dict[str, Any] = (await read_body(request, _schema(microversion(request))))["remote_console"]
    who, server_id = context(request), server_id_of(request)
    action = f"get_{asked['protocol']}_console"
    if asked["protocol"] != VNC:
        await api.server_actions.guests.refuse_console(who, server_id, asked["type"], action=action)
    url = await vnc_url(api, who, server_id, action=action)
    return reply({"remote_console": {**asked, "url": url}})


async def _screenshot(api: Api, request: web.Request) -> web.Response:
    png = await api.server_actions.guests.screenshot(context(request), server_id_of(request))
    return web.Response(body=png, content_type="image/png")
