"""What the caller's project may have and has. Source: nova/api/openstack/compute/limits.py and its view."""

from typing import Any, Final

from aiohttp import web

from novaflow.models import QuotaLimits, Usage
from services.api.openstack.frame import Api, context, microversion, reply
from services.api.openstack.microversion import Version

NETWORK_GONE: Final[Version] = (2, 36)
_NAMES: Final = {
    "maxTotalRAMSize": "ram",
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalKeypairs": "key_pairs",
    "maxServerMeta": "metadata_items",
    "maxImageMeta": "metadata_items",
    "maxPersonality": "injected_files",
    "maxPersonalitySize": "injected_file_content_bytes",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
}
_NETWORK_NAMES: Final = {
    "maxTotalFloatingIps": "floating_ips",
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
}


def routes(api: Api) -> list[web.RouteDef]:
    """`/limits`."""

    async def index(request: web.Request) -> web.Response:
        limits, usage = await api.quotas.absolute(context(request), request.query.get("tenant_id"))
        # Nova has had no rate limits since 2015, and the empty list ever since.
        return reply({"limits": {"rate": [], "absolute": absolute(limits, usage, microversion(request))}})

    return [web.get("/limits", index)]


def absolute(limits: QuotaLimits, usage: Usage, version: Version) -> dict[str, Any]:
    """Limits and what is used of them, under the names of this API."""
    names = _NAMES if version >= NETWORK_GONE else {**_NAMES, **_NETWORK_NAMES}
    shown: dict[str, Any] = {shown_as: getattr(limits, resource) for shown_as, resource in names.items()}
    shown["totalRAMUsed"] = usage.ram
    shown["totalCoresUsed"] = usage.cores
    shown["totalInstancesUsed"] = usage.instances
    shown["totalServerGroupsUsed"] = 0
    if version < NETWORK_GONE:
        shown["totalFloatingIpsUsed"] = 0
        shown["totalSecurityGroupsUsed"] = 0
    return shown
