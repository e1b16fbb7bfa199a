"""`/servers/{id}/diagnostics`: what the hypervisor counts, by the names libvirt's Nova driver gives it (the form before 2.48)."""

from typing import Any

from aiohttp import web

from novaflow.virt.driver import Diagnostics
from services.api.openstack.frame import Api, context, reply
from services.api.openstack.server_action import server_id_of

_DISK = {
    "read": "read_bytes",
    "read_req": "read_requests",
    "write": "write_bytes",
    "write_req": "write_requests",
    "errors": "errors_count",
}
_NIC = ("rx_octets", "rx_packets", "rx_errors", "rx_drop", "tx_octets", "tx_packets", "tx_errors", "tx_drop")


def routes(api: Api) -> list[web.RouteDef]:
    """One server's diagnostics."""

    async def show(request: web.Request) -> web.Response:
        return reply(_shown(await api.server_actions.guests.diagnostics(context(request), server_id_of(request))))

    return [web.get("/servers/{id}/diagnostics", show)]


def _shown(found: Diagnostics) -> dict[str, Any]:
    """One number per name; the processors' time is that of all of them, and stands with the first."""
    shown: dict[str, Any] = {"cpu0_time": found.cpu_time_ns, "memory": found.memory_maximum_kib}
    if found.memory_used_kib >= 0:
        shown["memory-rss"] = found.memory_used_kib
    for disk, counted in found.disks.items():
        shown |= {f"{disk}_{name}": counted.get(key, -1) for name, key in _DISK.items()}
    for mac, counted in found.nics.items():
        shown |= {f"{mac}_{name.removesuffix('_octets')}": counted.get(name, -1) for name in _NIC}
    return shown
