"""Actions on what runs in a server: rescue, rebuild, a new password.

Sources: nova/api/openstack/compute/servers.py (_rebuild), rescue.py, admin_password.py, and their schemas.
"""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from novaflow.models import InjectedFile
from novaflow.operations.server_systems import RebuildRequest
from services.api.openstack.frame import Api, context, empty, links, microversion, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import (
    METADATA,
    Check,
    array,
    boolean,
    either,
    identifier,
    ip_address,
    name,
    optional,
    record,
    text,
)
from services.api.openstack.server_action import Action, Actions, accepting, action, password_of, server_id_of
from services.api.openstack.server_create import image_id_of
from services.api.openstack.server_networking import networking
from services.api.openstack.server_schemas import ADMIN_PASSWORD, DESCRIPTION, DISK_CONFIG, FILE
from services.api.openstack.server_views import updated

_RENAMED: Final = {
    "name": "name",
    "description": "description",
    "metadata": "metadata",
    "OS-DCF:diskConfig": "disk_config",
    "accessIPv4": "access_ipv4",
    "accessIPv6": "access_ipv6",
}
_RESCUE: Final = optional(
    record({"adminPass": ADMIN_PASSWORD, "rescue_image_ref": either(identifier, text(max_length=0))})
)


@cache
def _rebuild_schema(version: Version) -> Check:
    fields: dict[str, Check] = {
        "name": name(),
        "imageRef": text(),
        "adminPass": ADMIN_PASSWORD,
        "metadata": METADATA,
        "preserve_ephemeral": boolean,
        "OS-DCF:diskConfig": DISK_CONFIG,
        "accessIPv4": ip_address(4),
        "accessIPv6": ip_address(6),
        "personality": array(FILE),
    }
    if version >= (2, 19):
        fields["description"] = DESCRIPTION
    return record(fields, required=("imageRef",))


async def _rescue(api: Api, request: web.Request, body: Mapping[str, Any] | None) -> web.Response:
    password = password_of(body)
    image_id = (body or {}).get("rescue_image_ref", "")
    await api.server_actions.systems.rescue(
        context(request), server_id_of(request), admin_password=password, image_id=image_id
    )
    return reply({"adminPass": password})


async def _rebuild(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    password, here = password_of(body), links(request)
    files = tuple(InjectedFile(path=file["path"], contents=file["contents"]) for file in body.get("personality", ()))
    given = {_RENAMED[field]: value for field, value in body.items() if field in _RENAMED}
    asked = msgspec.structs.replace(
        RebuildRequest(image_id=image_id_of(body), admin_password=password, files=files), **given
    )
    server = await api.server_actions.systems.rebuild(context(request), server_id_of(request), asked)
    beside = await networking(api, [server])
    shown = updated(server, here, microversion(request), beside, is_admin=context(request).is_admin)
    shown["adminPass"] = password
    headers = {"Location": f"{here.versioned}/servers/{server.id}"}
    return reply({"server": shown}, HTTPStatus.ACCEPTED, headers)


async def _change_password(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    await api.server_actions.systems.change_password(context(request), server_id_of(request), body["adminPass"])
    return empty(HTTPStatus.ACCEPTED)


ACTIONS: Final[Actions] = {
    "rescue": action(_rescue, _RESCUE),
    "unrescue": action(accepting(lambda api: api.server_actions.systems.unrescue)),
    "rebuild": Action(_rebuild, _rebuild_schema),
    "changePassword": action(_change_password, record({"adminPass": ADMIN_PASSWORD}, required=("adminPass",))),
}
