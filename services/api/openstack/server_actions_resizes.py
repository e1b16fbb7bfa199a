"""Actions that give a server another flavor or another host while it is off.

Sources: nova/api/openstack/compute/servers.py (_resize, _confirm_resize, _revert_resize), migrate_server.py (_migrate).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from services.api.openstack.frame import Api, context, empty
from services.api.openstack.schema import record
from services.api.openstack.server_action import Actions, accepting, action, server_id_of
from services.api.openstack.server_create import last_part
from services.api.openstack.server_schemas import DISK_CONFIG, FLAVOR

_RESIZE: Final = record({"flavorRef": FLAVOR, "OS-DCF:diskConfig": DISK_CONFIG}, required=("flavorRef",))


async def _resize(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    flavor_id, disk_config = last_part(str(body["flavorRef"])), body.get("OS-DCF:diskConfig")
    await api.server_actions.resizes.resize(context(request), server_id_of(request), flavor_id, disk_config=disk_config)
    return empty(HTTPStatus.ACCEPTED)


ACTIONS: Final[Actions] = {
    "resize": action(_resize, _RESIZE),
    "migrate": action(accepting(lambda api: api.server_actions.resizes.migrate)),
    "confirmResize": action(accepting(lambda api: api.server_actions.resizes.confirm, HTTPStatus.NO_CONTENT)),
    "revertResize": action(accepting(lambda api: api.server_actions.resizes.revert)),
}
