"""The default quotas under the name of a class. Source: nova/api/openstack/compute/quota_classes.py."""

from typing import Final

from aiohttp import web

from services.api.openstack.frame import Api, context, reply
from services.api.openstack.quota_sets import resources

_NOT_SHOWN: Final = ("server_groups", "server_group_members")  # until 2.50, by an oversight clients know


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-quota-class-sets/{id}`. No class differs from the default one."""

    async def show(request: web.Request) -> web.Response:
        limits = api.quotas.class_limits(context(request))
        # Unlike a project's, a class's limits show the network's in every version here.
        shown = {key: limit for key, limit in resources(limits, (2, 1)).items() if key not in _NOT_SHOWN}
        return reply({"quota_class_set": {"id": request.match_info["id"], **shown}})

    return [web.get("/os-quota-class-sets/{id}", show)]
