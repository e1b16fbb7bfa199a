"""The default quotas under the name of a class. Source: nova/api/openstack/compute/quota_classes.py."""

from typing import Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.models import QuotaLimits
from novaflow.operations.quotas import UNLIMITED
from services.api.openstack.bounds import LARGEST
from services.api.openstack.frame import Api, context, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.quota_sets import resources
from services.api.openstack.schema import integer, record

DEFAULT: Final = "default"  # the only class that projects are in
_NOT_SHOWN: Final = ("server_groups", "server_group_members")  # until 2.50, by an oversight clients know
_SHOWN_AS: Final[Version] = (2, 1)  # unlike a project's, a class's limits show the network's in every version here


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-quota-class-sets/{id}`. No class differs from the default one."""

    async def show(request: web.Request) -> web.Response:
        limits = await api.quotas.class_limits(context(request))
        return reply({"quota_class_set": {"id": request.match_info["id"], **_shown(limits)}})

    async def update(request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name != DEFAULT:
            raise Invalid(reason=f"Quota class '{name[:64]}' cannot be changed: every project is in '{DEFAULT}'")
        changes = (await read_body(request, _UPDATE))["quota_class_set"]
        return reply({"quota_class_set": _shown(await api.quotas.update_class(context(request), changes))})

    return [web.get("/os-quota-class-sets/{id}", show), web.put("/os-quota-class-sets/{id}", update)]


def _shown(limits: QuotaLimits) -> dict[str, int]:
    return {key: limit for key, limit in resources(limits, _SHOWN_AS).items() if key not in _NOT_SHOWN}


_FIELDS: Final = dict.fromkeys(resources(QuotaLimits(), _SHOWN_AS), integer(UNLIMITED, LARGEST))
_UPDATE: Final = record({"quota_class_set": record(_FIELDS)}, required=("quota_class_set",))
