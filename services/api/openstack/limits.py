"""What the caller's project may have and has. Source: nova/api/openstack/compute/limits.py and its view."""

from typing import Any, Final

from aiohttp import web

from novaflow.quotas import QuotaLimits, Usage
from services.api.openstack.frame import Api, context, microversion, reply
from services.api.openstack.microversion import Version

NETWORK_GONE: Final[Version] = (2, 36)
IMAGES_GONE: Final[Version] = (2, 39)
FILES_GONE: Final[Version] = (2, 57)
_NAMES: Final = {
    "maxTotalRAMSize": "ram",
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalKeypairs": "key_pairs",
    "maxServerMeta": "metadata_items",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
}
_UNTIL: Final = (
    (
        NETWORK_GONE,
        {
            "maxTotalFloatingIps": "floating_ips",
            "maxSecurityGroups": "security_groups",
            "maxSecurityGroupRules": "security_group_rules",
        },
    ),
    (IMAGES_GONE, {"maxImageMeta": "metadata_items"}),
    (FILES_GONE, {"maxPersonality": "injected_files", "maxPersonalitySize": "injected_file_content_bytes"}),
)


def routes(api: Api) -> list[web.RouteDef]:
    """`/limits`."""

    async def index(request: web.Request) -> web.Response:
        limits, usage = await api.quotas.absolute(context(request), request.query.get("tenant_id"))
        # Nova has had no rate limits since 2015, and the empty list ever since.
        return reply({"limits": {"rate": [], "absolute": absolute(limits, usage, microversion(request))}})

    return [web.get("/limits", index)]


def absolute(limits: QuotaLimits, usage: Usage, version: Version) -> dict[str, Any]:
    """Limits and what is used of them, under the names of this API."""
    names = dict(_NAMES)
    for gone_since, more in _UNTIL:
        names |= more if version < gone_since else {}
    shown: dict[str, Any] = {shown_as: getattr(limits, resource) for shown_as, resource in names.items()}
    shown["totalRAMUsed"] = usage.ram
    shown["totalCoresUsed"] = usage.cores
    shown["totalInstancesUsed"] = usage.instances
    shown["totalServerGroupsUsed"] = usage.server_groups
    if version < NETWORK_GONE:
        shown["totalFloatingIpsUsed"] = usage.floating_ips
        shown["totalSecurityGroupsUsed"] = usage.security_groups
    return shown
