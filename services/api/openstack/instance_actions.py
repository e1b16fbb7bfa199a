"""What was done to a server. Source: nova/api/openstack/compute/instance_actions.py."""

from typing import Any, Final

from aiohttp import web

from novaflow.tasks import TaskEvent, TaskRecord
from services.api.openstack.frame import Api, context, microversion, reply
from services.api.openstack.microversion import Version
from services.api.openstack.times import microseconds

DELETED_TOO: Final[Version] = (2, 21)


def routes(api: Api) -> list[web.RouteDef]:
    """`/servers/{id}/os-instance-actions`."""

    async def index(request: web.Request) -> web.Response:
        found = await api.actions.list(
            context(request), request.match_info["id"], is_deleted_too=microversion(request) >= DELETED_TOO
        )
        return reply({"instanceActions": [_action(action) for action in found]})

    async def show(request: web.Request) -> web.Response:
        action, events = await api.actions.get(
            context(request),
            request.match_info["id"],
            request.match_info["request_id"],
            is_deleted_too=microversion(request) >= DELETED_TOO,
        )
        shown = _action(action)
        # Until 2.51 the steps, with the names of hosts' functions in them, are for administrators.
        if context(request).is_admin:
            shown["events"] = [_event(event) for event in events]
        return reply({"instanceAction": shown})

    return [
        web.get("/servers/{id}/os-instance-actions", index),
        web.get("/servers/{id}/os-instance-actions/{request_id}", show),
    ]


def _action(action: TaskRecord) -> dict[str, Any]:
    return {
        "action": action.action,
        "instance_uuid": action.server_id,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": microseconds(action.created_at),
        "message": action.message,
    }


def _event(event: TaskEvent) -> dict[str, Any]:
    return {
        "event": event.name,
        "start_time": microseconds(event.started_at),
        "finish_time": microseconds(event.finished_at),
        "result": event.result,
        "traceback": event.details,
    }
