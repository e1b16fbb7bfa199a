"""How a server is shown, at each microversion. Plain dicts, built fast: lists of servers are the API's busiest answers.

Source: nova/api/openstack/compute/views/servers.py and views/ips.py. The keys stand in Nova's order.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha224
from http import HTTPStatus
from typing import Any, Final

from novaflow.hosts import ServiceRecord
from novaflow.models import Address, FloatingAddress, Server, ServerName
from novaflow.states import Vm
from services.api.openstack.frame import Links
from services.api.openstack.microversion import Version
from services.api.openstack.server_networking import Networking

Shown = dict[str, Any]
USER_DATA: Final = "OS-EXT-SRV-ATTR:user_data"
USER_DATA_SINCE: Final[Version] = (2, 3)

_FAULTY: Final = ("ERROR", "DELETED")
_IN_PROGRESS: Final = ("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING")
_ROOT_DEVICE: Final = "/dev/vda"


def created(server: Server, links: Links, security_groups: list[Shown] | None, admin_password: str) -> Shown:
    """The answer to a create: the only one that says the password."""
    return {
        "id": server.id,
        "links": links.to("servers", server.id),
        "OS-DCF:diskConfig": server.disk_config,
        "security_groups": security_groups or [{"name": "default"}],
        "adminPass": admin_password,
    }


def brief(server: ServerName, links: Links) -> Shown:
    """A server in `GET /servers`."""
    return {"id": server.id, "name": server.name, "links": links.to("servers", server.id)}


def updated(server: Server, links: Links, version: Version, beside: Networking, *, is_admin: bool) -> Shown:
    """The answer to an update, which shows less than `full` does."""
    shown = _core(server, links, beside, is_admin=is_admin, with_address_types=False)
    _add_by_version(shown, server, version)
    return shown


def full(
    server: Server,
    links: Links,
    version: Version,
    beside: Networking,
    *,
    is_admin: bool,
    host_status: Mapping[str, str] | None = None,
) -> Shown:
    """A server in `GET /servers/{id}` and `GET /servers/detail`; `host_status` by host name, for those who may see it."""
    shown = _core(server, links, beside, is_admin=is_admin, with_address_types=True)
    shown["OS-EXT-AZ:availability_zone"] = server.availability_zone
    shown["config_drive"] = "True" if server.has_config_drive else ""
    shown["key_name"] = server.key_name
    shown["OS-SRV-USG:launched_at"] = _with_microseconds(server.launched_at)
    shown["OS-SRV-USG:terminated_at"] = _with_microseconds(server.deleted_at)
    if groups := beside.groups.get(server.id):
        shown["security_groups"] = [{"name": name} for name in groups]
    if is_admin:
        _add_admin_attributes(shown, server, version)
    shown["OS-EXT-STS:task_state"] = server.task.wire
    shown["OS-EXT-STS:vm_state"] = server.vm.value
    shown["OS-EXT-STS:power_state"] = int(server.power)
    shown["os-extended-volumes:volumes_attached"] = []
    _add_by_version(shown, server, version)
    if host_status is not None and version >= (2, 16):
        shown["host_status"] = host_status.get(server.host or "", "")
    return shown


def addresses(
    found: tuple[Address, ...], floating: Iterable[FloatingAddress] = (), *, with_types: bool = False
) -> dict[str, list[Shown]]:
    """Addresses by network, the floating ones after those they stand for; with types and MACs where a whole server is shown."""
    outside = [(address.fixed_ip, address.ip) for address in floating]
    shown: dict[str, list[Shown]] = {}
    for address in found:
        entry: Shown = {"version": address.version, "addr": address.ip}
        if with_types:
            entry["OS-EXT-IPS:type"] = "fixed"
            entry["OS-EXT-IPS-MAC:mac_addr"] = address.mac
        own = shown.setdefault(address.network, [])
        own.append(entry)
        for ip in (ip for fixed_ip, ip in outside if fixed_ip == address.ip):
            own.append(entry | {"addr": ip} | ({"OS-EXT-IPS:type": "floating"} if with_types else {}))
    return shown


def host_statuses(services: Iterable[ServiceRecord]) -> dict[str, str]:
    """By host name what Nova calls the host's status, from the compute services."""
    statuses = {}
    for service in services:
        if service.is_forced_down:
            statuses[service.host] = "DOWN"
        elif not service.is_enabled:
            statuses[service.host] = "MAINTENANCE"
        else:
            statuses[service.host] = "UP" if service.is_up else "UNKNOWN"
    return statuses


def whole_seconds(moment: datetime) -> datetime:
    """A time as Nova shows most of them, `2026-08-01T12:00:00Z`, once msgspec writes it; it does so faster than Python."""
    return moment.replace(microsecond=0)


def _core(server: Server, links: Links, beside: Networking, *, is_admin: bool, with_address_types: bool) -> Shown:
    status = server.status
    # Nova hides the addresses of a server that is being built.
    found = () if server.vm is Vm.BUILDING else server.addresses
    floating = beside.floating.get(server.id, ())
    shown: Shown = {
        "accessIPv4": server.access_ipv4,
        "accessIPv6": server.access_ipv6,
        "addresses": addresses(found, floating, with_types=with_address_types),
        "created": whole_seconds(server.created_at),
        "flavor": {"id": server.flavor.id, "links": links.bookmark_to("flavors", server.flavor.id)},
        "hostId": host_id(server.host, server.project_id) if server.host else "",
        "id": server.id,
        "image": _image(server, links),
        "links": links.to("servers", server.id),
        "metadata": server.metadata,
        "name": server.name,
        "status": status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "updated": whole_seconds(server.updated_at),
        "OS-DCF:diskConfig": server.disk_config,
    }
    if status in _FAULTY and server.fault is not None:
        shown["fault"] = _fault(server, is_admin=is_admin)
    if status in _IN_PROGRESS:
        shown["progress"] = server.progress
    return shown


def _image(server: Server, links: Links) -> Shown | str:
    """An empty string, in Nova, for a server that has no image."""
    if not server.image_id:
        return ""
    return {"id": server.image_id, "links": links.bookmark_to("images", server.image_id)}


def _fault(server: Server, *, is_admin: bool) -> Shown:
    """Why the server is in error. What went on inside the cloud is told to administrators only."""
    fault = server.fault
    if fault is None:
        return {}
    shown: Shown = {
        "code": fault.code,
        "created": whole_seconds(fault.created_at or server.updated_at),
        "message": fault.message,
    }
    if fault.details and (is_admin or fault.code != HTTPStatus.INTERNAL_SERVER_ERROR):
        shown["details"] = fault.details
    return shown


def _add_admin_attributes(shown: Shown, server: Server, version: Version) -> None:
    """Where and as what a server runs."""
    shown["OS-EXT-SRV-ATTR:host"] = server.host
    shown["OS-EXT-SRV-ATTR:instance_name"] = f"instance-{server.id[:8]}"
    shown["OS-EXT-SRV-ATTR:hypervisor_hostname"] = server.host
    if version >= USER_DATA_SINCE:
        shown["OS-EXT-SRV-ATTR:hostname"] = server.hostname
        shown["OS-EXT-SRV-ATTR:kernel_id"] = server.kernel_id
        shown["OS-EXT-SRV-ATTR:launch_index"] = server.launch_index
        shown["OS-EXT-SRV-ATTR:ramdisk_id"] = server.ramdisk_id
        shown["OS-EXT-SRV-ATTR:reservation_id"] = server.reservation_id
        shown["OS-EXT-SRV-ATTR:root_device_name"] = _ROOT_DEVICE
        shown[USER_DATA] = None  # large and seldom wanted: whoever shows one server puts it here


def _add_by_version(shown: Shown, server: Server, version: Version) -> None:
    if version >= (2, 9):
        shown["locked"] = server.is_locked
    if version >= (2, 19):
        shown["description"] = server.description
    if version >= (2, 26):
        shown["tags"] = list(server.tags)


@lru_cache(maxsize=4096)
def host_id(host: str, project_id: str) -> str:
    """The host's name as a project sees it: the same for its servers on one host, and nothing else to be learnt from it."""
    return sha224(f"{project_id}{host}".encode()).hexdigest()


def _with_microseconds(moment: datetime | None) -> datetime | str | None:
    """A time as Nova shows these two: `2026-08-01T12:00:00.000000`, without a zone."""
    if moment is None:
        return None
    plain = moment.replace(tzinfo=None)
    return plain if plain.microsecond else plain.isoformat(timespec="microseconds")
