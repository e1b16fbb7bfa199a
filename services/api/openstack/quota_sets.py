"""Quotas of projects and, with `?user_id=`, of users in them. Source: nova/api/openstack/compute/quota_sets.py and its schema."""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from novaflow.errors import Invalid
from novaflow.operations.quotas import COUNTED
from novaflow.quotas import NO_LIMIT, QuotaLimits, Usage
from services.api.openstack.bounds import LARGEST, LONGEST_ID
from services.api.openstack.frame import Api, context, empty, microversion, read_body, reply
from services.api.openstack.limits import FILES_GONE, NETWORK_GONE
from services.api.openstack.microversion import Version
from services.api.openstack.schema import Check, boolean, integer, record

NETWORK: Final = frozenset({"fixed_ips", "floating_ips", "security_groups", "security_group_rules"})
VOLUMES: Final = frozenset({"volumes", "gigabytes", "snapshots"})
INJECTED: Final = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-quota-sets/{id}`, where the id is a project's."""

    async def show(request: web.Request) -> web.Response:
        project_id = request.match_info["id"]
        limits = await api.quotas.limits(context(request), project_id, user_id=_user(request))
        return reply({"quota_set": {"id": project_id, **resources(limits, microversion(request))}})

    async def defaults(request: web.Request) -> web.Response:
        shown = resources(await api.quotas.defaults(), microversion(request))
        return reply({"quota_set": {"id": request.match_info["id"], **shown}})

    async def detail(request: web.Request) -> web.Response:
        project_id = request.match_info["id"]
        limits, usage = await api.quotas.detail(context(request), project_id, user_id=_user(request))
        return reply({"quota_set": {"id": project_id, **_detailed(limits, usage, microversion(request))}})

    async def update(request: web.Request) -> web.Response:
        project_id, version = _project(request), microversion(request)
        changes = (await read_body(request, _update(version)))["quota_set"]
        is_forced = changes.pop("force", False)
        limits = await api.quotas.update(
            context(request), project_id, changes, user_id=_user(request), is_forced=is_forced
        )
        return reply({"quota_set": resources(limits, version)})

    async def delete(request: web.Request) -> web.Response:
        await api.quotas.reset(context(request), request.match_info["id"], user_id=_user(request))
        return empty(HTTPStatus.ACCEPTED)

    return [
        web.get("/os-quota-sets/{id}", show),
        web.get("/os-quota-sets/{id}/defaults", defaults),
        web.get("/os-quota-sets/{id}/detail", detail),
        web.put("/os-quota-sets/{id}", update),
        web.delete("/os-quota-sets/{id}", delete),
    ]


def resources(limits: QuotaLimits, version: Version, *, network_gone: Version = NETWORK_GONE) -> dict[str, int]:
    """The limits by resource, without those that the version has no more: the network's, then the injected files'.

    Nova's has none of volumes since they became Cinder's, and clients hold it to that.
    """
    gone = (
        VOLUMES
        | (NETWORK if version >= network_gone else frozenset())
        | (INJECTED if version >= FILES_GONE else frozenset())
    )
    shown: dict[str, int] = msgspec.to_builtins(limits)
    return {resource: limit for resource, limit in shown.items() if resource not in gone}


def _detailed(limits: QuotaLimits, usage: Usage, version: Version) -> dict[str, Any]:
    # Key pairs are counted per user, so a project uses none of its limit; nothing is reserved since 2017.
    used = {resource: getattr(usage, resource) for resource in COUNTED}
    return {
        resource: {"limit": limit, "in_use": used.get(resource, 0), "reserved": 0}
        for resource, limit in resources(limits, version).items()
    }


def _project(request: web.Request) -> str:
    project_id = request.match_info["id"]
    if len(project_id) > LONGEST_ID:
        raise Invalid(reason=f"Project ID {project_id[:LONGEST_ID]}... is not a valid project.")
    return project_id


def _user(request: web.Request) -> str:
    user_id = request.query.get("user_id", "")
    if len(user_id) > LONGEST_ID:
        raise Invalid(reason=f"Invalid input for query parameters user_id. Value: {user_id[:LONGEST_ID]}...")
    return user_id


def _update(version: Version) -> Check:
    limit = integer(NO_LIMIT, LARGEST)
    fields: dict[str, Check] = dict.fromkeys((*resources(QuotaLimits(), version), *VOLUMES), limit)
    return record({"quota_set": record({**fields, "force": boolean})}, required=("quota_set",))
