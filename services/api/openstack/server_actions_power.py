"""Actions on a server's power and memory. Sources: nova/api/openstack/compute/servers.py, pause_server.py, suspend_server.py."""

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from services.api.openstack.frame import Api, context, empty
from services.api.openstack.schema import choice, record
from services.api.openstack.server_action import Actions, accepting, action, server_id_of

_REBOOT_TYPE: Final = choice("HARD", "Hard", "hard", "SOFT", "Soft", "soft")


async def _reboot(api: Api, request: web.Request, body: dict[str, Any]) -> web.Response:
    is_hard = body["type"].upper() == "HARD"
    await api.server_actions.power.reboot(context(request), server_id_of(request), hard=is_hard)
    return empty(HTTPStatus.ACCEPTED)


ACTIONS: Final[Actions] = {
    "os-start": action(accepting(lambda api: api.server_actions.power.start)),
    "os-stop": action(accepting(lambda api: api.server_actions.power.stop)),
    "reboot": action(_reboot, record({"type": _REBOOT_TYPE}, required=("type",))),
    "pause": action(accepting(lambda api: api.server_actions.power.pause)),
    "unpause": action(accepting(lambda api: api.server_actions.power.unpause)),
    "suspend": action(accepting(lambda api: api.server_actions.power.suspend)),
    "resume": action(accepting(lambda api: api.server_actions.power.resume)),
}
