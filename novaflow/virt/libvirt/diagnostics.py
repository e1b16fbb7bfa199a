"""What is counted of a running guest."""

import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import libvirt

from novaflow.states import Power
from novaflow.virt.domain_facts import Owner
from novaflow.virt.driver import Diagnostics
from novaflow.virt.instance_files import CONFIG_DRIVE
from novaflow.virt.libvirt import domains
from novaflow.virt.libvirt.failures import failures
from novaflow.virt.libvirt.host import LibvirtHost

_STATES: Final = {
    Power.NOSTATE: "pending",
    Power.RUNNING: "running",
    Power.PAUSED: "paused",
    Power.SHUTDOWN: "shutdown",
    Power.CRASHED: "crashed",
    Power.SUSPENDED: "suspended",
}
"""nova/objects/fields.py, InstancePowerState."""

_DISK_COUNTS: Final = ("read_requests", "read_bytes", "write_requests", "write_bytes", "errors_count")


async def diagnostics(host: LibvirtHost, server_id: str) -> Diagnostics:
    """Raises GuestFailed when it is off."""
    with failures("diagnostics", server_id):
        return await host.run(_diagnostics, server_id, host.root)


def _diagnostics(link: libvirt.virConnect, owner: Owner, server_id: str, root: Path | None) -> Diagnostics:
    domain = domains.must_run(link, owner, server_id)
    power = domains.power_of(domain)
    _, maximum_kib, _, vcpus, cpu_time_ns = domain.info()
    xml = ET.fromstring(domain.XMLDesc(0))  # noqa: S314 - it is libvirt who answers
    sources = [source.get("file", "") for source in xml.iterfind("devices/disk/source")]
    return Diagnostics(
        state=_STATES[power],
        driver="libvirt",
        hypervisor=xml.get("type", ""),
        uptime_seconds=_uptime(root, domain.name()),
        vcpus=vcpus,
        cpu_time_ns=cpu_time_ns,
        memory_maximum_kib=maximum_kib,
        memory_used_kib=domain.memoryStats().get("rss", -1),
        disks={name: _disk(domain, name) for name in _names(xml, "devices/disk/target", "dev")},
        nics={mac: {} for mac in _cards(xml)},
        has_config_drive=any(Path(source).name == CONFIG_DRIVE for source in sources),
    )


def _disk(domain: libvirt.virDomain, name: str) -> dict[str, int]:
    return dict(zip(_DISK_COUNTS, domain.blockStats(name), strict=True))


def _names(xml: ET.Element, path: str, attribute: str) -> list[str]:
    return [element.get(attribute, "") for element in xml.iterfind(path)]


def _cards(xml: ET.Element) -> list[str]:
    """The MACs of the cards on QEMU's command line, of which libvirt counts nothing."""
    found = []
    for argument in xml.iterfind("{*}commandline/{*}arg"):
        options = dict(part.partition("=")[::2] for part in argument.get("value", "").split(","))
        found += [options["mac"]] if "mac" in options else []
    return found


def _uptime(root: Path | None, name: str) -> int:
    """Since QEMU started: the embedded libvirt keeps a file of that age. -1 where a daemon keeps it from us."""
    try:
        return int(time.time() - (root / "run" / "qemu" / f"{name}.pid").stat().st_mtime) if root else -1
    except FileNotFoundError:
        return -1
