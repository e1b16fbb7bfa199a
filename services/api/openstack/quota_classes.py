"""Quotas of classes; the default one's are those of every project without any of its own. Source: nova/api/openstack/compute/quota_classes.py."""

from typing import Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.quotas import NO_LIMIT, QuotaLimits
from services.api.openstack.bounds import LARGEST
from services.api.openstack.frame import Api, context, microversion, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.quota_sets import resources
from services.api.openstack.schema import Check, integer, record

_LONGEST: Final = 255
_GROUPS: Final = ("server_groups", "server_group_members")
_CORRECTED: Final[Version] = (2, 50)
"""Until then, by an oversight that clients know, a class's limits show the network's and none of the groups'."""


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-quota-class-sets/{id}`."""

    async def show(request: web.Request) -> web.Response:
        name = request.match_info["id"]
        limits = await api.quotas.class_limits(context(request), name)
        return reply({"quota_class_set": {"id": name, **_shown(limits, microversion(request))}})

    async def update(request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if len(name) > _LONGEST:
            raise Invalid(reason=f"quota_class_name has {len(name)} characters, more than {_LONGEST}.")
        version = microversion(request)
        changes = (await read_body(request, _update(version)))["quota_class_set"]
        limits = await api.quotas.update_class(context(request), name, changes)
        return reply({"quota_class_set": _shown(limits, version)})

    return [web.get("/os-quota-class-sets/{id}", show), web.put("/os-quota-class-sets/{id}", update)]


def _shown(limits: QuotaLimits, version: Version) -> dict[str, int]:
    shown = resources(limits, version, network_gone=_CORRECTED)
    return {key: limit for key, limit in shown.items() if version >= _CORRECTED or key not in _GROUPS}


def _update(version: Version) -> Check:
    names = resources(QuotaLimits(), version, network_gone=_CORRECTED)
    fields = dict.fromkeys(names, integer(NO_LIMIT, LARGEST))
    return record({"quota_class_set": record(fields)}, required=("quota_class_set",))
