"""Actions that make images of servers, and the shelf.

Sources: nova/api/openstack/compute/servers.py (_create_image), create_backup.py, shelve.py.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from services.api.openstack.frame import Api, context
from services.api.openstack.schema import METADATA, integer, name, record, text
from services.api.openstack.server_action import Actions, accepting, action, server_id_of

_CREATE_IMAGE: Final = record({"name": name(), "metadata": METADATA}, required=("name",))
_CREATE_BACKUP: Final = record(
    {"name": name(), "backup_type": text(), "rotation": integer(minimum=0), "metadata": METADATA},
    required=("name", "backup_type", "rotation"),
)


async def _create_image(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    who, server_id = context(request), server_id_of(request)
    image_id = await api.server_actions.images.snapshot(who, server_id, body["name"], body.get("metadata", {}))
    return _accepted(api, image_id)


async def _create_backup(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    kind, rotation = body["backup_type"], body["rotation"]
    image_id = await api.server_actions.images.backup(
        context(request),
        server_id_of(request),
        body["name"],
        body.get("metadata", {}),
        backup_type=kind,
        rotation=rotation,
    )
    return _accepted(api, image_id if rotation else "")


def _accepted(api: Api, image_id: str) -> web.Response:
    """Where the image will be; a backup of which none is kept is nowhere."""
    headers = {"Location": f"{api.config.image_url}/images/{image_id}"} if image_id else {}
    return web.Response(status=HTTPStatus.ACCEPTED, headers=headers)


ACTIONS: Final[Actions] = {
    "createImage": action(_create_image, _CREATE_IMAGE),
    "createBackup": action(_create_backup, _CREATE_BACKUP),
    "shelve": action(accepting(lambda api: api.server_actions.images.shelve)),
    "shelveOffload": action(accepting(lambda api: api.server_actions.shelf.offload)),
    "unshelve": action(accepting(lambda api: api.server_actions.shelf.unshelve)),
}
