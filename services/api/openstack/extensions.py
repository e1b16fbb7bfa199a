"""What this API has beyond the Compute API's first version, for clients that ask before they use it.

The aliases and names are Nova's (nova/api/openstack/compute/extension_info.py); only what answers here is listed.
"""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, reply

_UPDATED: Final = "2014-12-03T00:00:00Z"
_NAMESPACE: Final = "http://docs.openstack.org/compute/ext/fake_xml"
_KNOWN: Final = (
    ("OS-DCF", "DiskConfig", "How a server's disk is partitioned."),
    ("OS-EXT-AZ", "ExtendedAvailabilityZone", "A server's availability zone."),
    ("OS-EXT-IPS", "ExtendedIps", "The type of each address."),
    ("OS-EXT-IPS-MAC", "ExtendedIpsMac", "The MAC of each address."),
    ("OS-EXT-SRV-ATTR", "ExtendedServerAttributes", "Where a server runs, for administrators."),
    ("OS-EXT-STS", "ExtendedStatus", "A server's vm_state, task_state and power_state."),
    ("OS-FLV-DISABLED", "FlavorDisabled", "Whether a flavor is disabled."),
    ("OS-FLV-EXT-DATA", "FlavorExtraData", "A flavor's ephemeral disk."),
    ("OS-SCH-HNT", "SchedulerHints", "Hints to the scheduler."),
    ("OS-SRV-USG", "ServerUsage", "When a server was launched and terminated."),
    ("os-access-ips", "AccessIPs", "The addresses a server is reached at."),
    ("os-admin-actions", "AdminActions", "What administrators mend by hand."),
    ("os-admin-password", "AdminPassword", "Another password in a running server."),
    ("os-aggregates", "Aggregates", "Host aggregates."),
    ("os-availability-zone", "AvailabilityZone", "Availability zones."),
    ("os-config-drive", "ConfigDrive", "Servers with a config drive."),
    ("os-console-output", "ConsoleOutput", "What a server wrote to its console."),
    ("os-create-backup", "CreateBackup", "Images of servers of which only the latest are kept."),
    ("os-deferred-delete", "DeferredDelete", "Servers that are kept for a while after their end."),
    ("os-evacuate", "Evacuate", "Servers made anew away from a dead host."),
    ("os-extended-hypervisors", "ExtendedHypervisors", "More facts about hypervisors."),
    ("os-extended-quotas", "ExtendedQuotas", "Quotas that are forced or taken back."),
    ("os-extended-services", "ExtendedServices", "Why a service was disabled."),
    ("os-extended-services-delete", "ExtendedServicesDelete", "Services that are gone for good."),
    ("os-extended-status", "ExtendedStatus", "A server's vm_state, task_state and power_state."),
    ("os-flavor-access", "FlavorAccess", "Private flavors."),
    ("os-flavor-extra-specs", "FlavorExtraSpecs", "A flavor's properties."),
    ("os-flavor-manage", "FlavorManage", "Flavors that administrators make."),
    ("os-flavor-rxtx", "FlavorRxtx", "A flavor's share of the network."),
    ("os-flavor-swap", "FlavorSwap", "A flavor's swap."),
    ("os-floating-ip-pools", "FloatingIpPools", "The pools of floating addresses."),
    ("os-floating-ips", "FloatingIps", "Addresses that a project keeps and gives to its servers."),
    ("os-hosts", "Hosts", "The cloud's machines."),
    ("os-hypervisor-status", "HypervisorStatus", "Whether a hypervisor is up and enabled."),
    ("os-hypervisors", "Hypervisors", "The compute hosts."),
    ("os-instance-actions", "InstanceActions", "What was done to a server."),
    ("os-keypairs", "Keypairs", "SSH keys."),
    ("os-lock-server", "LockServer", "Servers that nothing may be done to."),
    ("os-migrate-server", "MigrateServer", "Servers that are taken to another host."),
    ("os-migrations", "Migrations", "Every move of every server."),
    ("os-multiple-create", "MultipleCreate", "Several servers in one request."),
    (
        "os-novaflow-screenshot",
        "NovaflowScreenshot",
        "A server's screen as a PNG, at /servers/{id}/os-novaflow-screenshot.",
    ),
    ("os-pause-server", "PauseServer", "Servers whose processors stand still."),
    ("os-personality", "Personality", "Files put into a server at boot."),
    ("os-quota-class-sets", "QuotaClasses", "Quotas of a class."),
    ("os-quota-sets", "Quotas", "Quotas of a project."),
    ("os-remote-consoles", "Consoles", "Where a server's screen is served."),
    ("os-rescue", "Rescue", "Another system in a server's place, with its disk beside it."),
    ("os-security-groups", "SecurityGroups", "Security groups and their rules."),
    ("os-server-diagnostics", "ServerDiagnostics", "What the hypervisor counts of a server."),
    ("os-server-group-quotas", "ServerGroupQuotas", "Quotas of server groups."),
    ("os-server-groups", "ServerGroups", "Server groups."),
    ("os-server-list-multi-status", "ServerListMultiStatus", "Lists of servers in several statuses."),
    ("os-server-password", "ServerPassword", "The password that a guest posted for its owner."),
    ("os-server-sort-keys", "ServerSortKeys", "Sorted lists of servers."),
    ("os-server-start-stop", "ServerStartStop", "Servers that are started and stopped."),
    ("os-services", "Services", "The cloud's processes."),
    ("os-shelve", "Shelve", "Servers that wait as images."),
    ("os-simple-tenant-usage", "SimpleTenantUsage", "What projects used."),
    ("os-suspend-server", "SuspendServer", "Servers whose memory is saved to disk."),
    ("os-used-limits", "UsedLimits", "What is used of the limits."),
    ("os-used-limits-for-admin", "UsedLimitsForAdmin", "What other projects use of their limits."),
    ("os-user-data", "UserData", "Data for a server's first boot."),
)
EXTENSIONS: Final = {
    alias: {
        "alias": alias,
        "name": name,
        "description": description,
        "links": [],
        "namespace": _NAMESPACE,
        "updated": _UPDATED,
    }
    for alias, name, description in _KNOWN
}


def routes(api: Api) -> list[web.RouteDef]:  # noqa: ARG001 - as every resource; this one asks nothing of the cloud
    """`/extensions`."""

    async def index(request: web.Request) -> web.Response:  # noqa: ARG001 - the same for everybody
        return reply({"extensions": list(EXTENSIONS.values())})

    async def show(request: web.Request) -> web.Response:
        found = EXTENSIONS.get(request.match_info["alias"])
        if found is None:
            raise HttpFault(HTTPStatus.NOT_FOUND, "The resource could not be found.")
        return reply({"extension": found})

    return [web.get("/extensions", index), web.get("/extensions/{alias}", show)]
