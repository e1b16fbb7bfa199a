"""Actions that move a server which runs, or whose host is dead.

Sources: nova/api/openstack/compute/migrate_server.py (_migrate_live), evacuate.py, and their schemas.
"""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from services.api.openstack.frame import Api, context, empty, microversion, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import Check, boolean, choice, either, name, optional, record
from services.api.openstack.server_action import Action, Actions, password_of, server_id_of
from services.api.openstack.server_schemas import ADMIN_PASSWORD

_WITHOUT_SHARED_STORAGE: Final[Version] = (2, 14)
_WITH_FORCED_EVACUATION: Final[Version] = (2, 29)
_WITH_AUTO: Final[Version] = (2, 25)
_WITH_FORCE: Final[Version] = (2, 30)
_HOST: Final = name()


@cache
def _live_schema(version: Version) -> Check:
    fields: dict[str, Check] = {"host": optional(_HOST), "block_migration": boolean}
    required = ["host", "block_migration"]
    if version >= _WITH_AUTO:
        fields["block_migration"] = either(choice("auto"), boolean)
    else:
        fields["disk_over_commit"] = boolean
        required.append("disk_over_commit")
    if version >= _WITH_FORCE:
        fields["force"] = boolean
    return record(fields, required=required)


@cache
def _evacuate_schema(version: Version) -> Check:
    fields: dict[str, Check] = {"host": _HOST, "adminPass": ADMIN_PASSWORD}
    if version >= _WITH_FORCED_EVACUATION:
        fields["force"] = boolean
    if version >= _WITHOUT_SHARED_STORAGE:
        return record(fields)
    return record({**fields, "onSharedStorage": boolean}, required=("onSharedStorage",))


async def _migrate_live(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    host = body["host"] or ""
    _refuse_force_to_nowhere(body, host)
    copies_disks = body["block_migration"] is not False  # true, or what the hosts find out
    await api.server_actions.moves.live_migrate(
        context(request), server_id_of(request), host, copies_disks=copies_disks
    )
    return empty(HTTPStatus.ACCEPTED)


async def _evacuate(api: Api, request: web.Request, body: Mapping[str, Any]) -> web.Response:
    host = body.get("host", "")
    _refuse_force_to_nowhere(body, host)
    if body.get("onSharedStorage"):
        if "adminPass" in body:
            raise Invalid(reason="admin password can't be changed on existing disk")
        raise Invalid(reason="Invalid state of instance files on shared storage")  # there is none: the disk is lost
    password = password_of(body)
    await api.server_actions.moves.evacuate(context(request), server_id_of(request), host, admin_password=password)
    # 200 for what will take a while: as Nova has it to this day.
    if microversion(request) >= _WITHOUT_SHARED_STORAGE:
        return empty(HTTPStatus.OK)
    return reply({"adminPass": password})


def _refuse_force_to_nowhere(body: Mapping[str, Any], host: str) -> None:
    if body.get("force") and not host:
        raise Invalid(reason="Can't force to a non-provided destination")


ACTIONS: Final[Actions] = {
    "os-migrateLive": Action(_migrate_live, _live_schema),
    "evacuate": Action(_evacuate, _evacuate_schema),
}
