"""What libvirt is asked about domains: blocking, to be run in a connection's threads.

Only domains whose metadata names the owner are ever returned or touched. A domain that stops or vanishes while it is
worked on is what was wanted, not a failure.
"""

import os
import threading
import time
import xml.etree.ElementTree as ET
from typing import Final

import libvirt

from novaflow.hosts import HostResources
from novaflow.states import Power
from novaflow.virt.domain_facts import Owner
from novaflow.virt.domain_xml import METADATA_URI, read_owner
from novaflow.virt.driver import GuestState
from novaflow.virt.image_facts import Refused
from novaflow.virt.machine import cpu_info

_POWERS: Final = {
    libvirt.VIR_DOMAIN_NOSTATE: Power.NOSTATE,
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.SHUTDOWN,
    libvirt.VIR_DOMAIN_SHUTOFF: Power.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.SUSPENDED,
}
"""Nova's LIBVIRT_POWER_STATE (nova/virt/libvirt/guest.py)."""

_FORGET: Final = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_ALREADY_OFF: Final = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)
_PASSING: Final = ("Failed to find an available port", "domain is no longer running")
"""What is said of a start when another libvirt was quicker to take the port of the guest's screen: by QEMU, or by libvirt alone."""

_START_TRIES: Final = 4
_START_PAUSE: Final = (
    1.0  # seconds; libvirt 9 takes the end of the QEMU that failed for the end of one started at once after it
)
_DESTROY_TRIES: Final = 5
_DESTROY_PAUSE: Final = 1.0  # seconds; QEMU may hang in the kernel for a while (EBUSY)


class NotOurs(Exception):
    """A domain has the server's id and is somebody else's."""


def find(link: libvirt.virConnect, owner: Owner, server_id: str) -> libvirt.virDomain | None:
    """Our domain of that id, None when there is none; raises NotOurs."""
    try:
        domain = link.lookupByUUIDString(server_id)
    except libvirt.libvirtError as error:
        if says(error, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise
    held_by = owner_of(domain)
    if held_by != owner:
        whose = f"host {held_by.host} ({held_by.directory})" if held_by else "somebody else"
        raise NotOurs(f"libvirt has a domain with this id that belongs to {whose}")
    return domain


def look(link: libvirt.virConnect, owner: Owner, server_id: str) -> libvirt.virDomain | None:
    """The same; None also when the domain is somebody else's."""
    try:
        return find(link, owner, server_id)
    except NotOurs:
        return None


def must_find(link: libvirt.virConnect, owner: Owner, server_id: str) -> libvirt.virDomain:
    """Our domain of that id; raises Refused when there is none, NotOurs."""
    domain = find(link, owner, server_id)
    if domain is None:
        raise Refused("there is no such guest on this host")
    return domain


def must_run(link: libvirt.virConnect, owner: Owner, server_id: str) -> libvirt.virDomain:
    """The same, and Refused also when it has no running QEMU."""
    domain = must_find(link, owner, server_id)
    if not is_active(domain):
        raise Refused("the guest is off")
    return domain


def owner_of(domain: libvirt.virDomain) -> Owner | None:
    """Whose the domain is; None for one that novaflow did not make."""
    try:
        return read_owner(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI))
    except libvirt.libvirtError as error:
        if says(error, libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise


def list_guests(link: libvirt.virConnect, owner: Owner) -> list[GuestState]:
    """All of ours."""
    found = []
    for domain in link.listAllDomains():
        if owner_of(domain) == owner:
            found.append(GuestState(server_id=domain.UUIDString(), power=power_of(domain)))
    return found


def power(link: libvirt.virConnect, owner: Owner, server_id: str) -> Power:
    """NOSTATE when there is no such guest of ours."""
    domain = look(link, owner, server_id)
    return power_of(domain) if domain else Power.NOSTATE


def power_of(domain: libvirt.virDomain) -> Power:
    """NOSTATE when it vanished meanwhile."""
    try:
        return _POWERS.get(domain.state()[0], Power.NOSTATE)
    except libvirt.libvirtError as error:
        if says(error, libvirt.VIR_ERR_NO_DOMAIN):
            return Power.NOSTATE
        raise


def define(link: libvirt.virConnect, xml: str) -> None:
    """Make the domain, or make the one of that id another that is off."""
    link.defineXML(xml)


def definition(link: libvirt.virConnect, owner: Owner, server_id: str) -> str:
    """The XML by which our domain starts; raises Refused when there is none."""
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    return str(must_find(link, owner, server_id).XMLDesc(flags))


def define_and_start(link: libvirt.virConnect, xml: str, given_up: threading.Event) -> None:
    """A domain that cannot start is not left behind; neither is one that nobody waits for any more."""
    domain = link.defineXML(xml)
    try:
        create(domain)
    except libvirt.libvirtError:
        undefine(domain)
        raise
    if given_up.is_set():
        stop(domain)
        undefine(domain)


def start(link: libvirt.virConnect, owner: Owner, server_id: str) -> None:
    """Start our domain if it is off, with its memory if that is saved; raises Refused when there is none."""
    domain = must_find(link, owner, server_id)
    try:
        create(domain)
    except libvirt.libvirtError as error:
        if not (says(error, libvirt.VIR_ERR_OPERATION_INVALID) and is_active(domain)):
            raise


def create(domain: libvirt.virDomain) -> None:
    """Start it, again when another process took the port of its screen between libvirt's look and QEMU's."""
    for left in reversed(range(_START_TRIES)):
        try:
            domain.create()
        except libvirt.libvirtError as error:
            if left == 0 or not any(words in str(error) for words in _PASSING):
                raise
            time.sleep(_START_PAUSE)
        else:
            return


def press_power_button(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    """Ask the guest to power off; False when it cannot hear, because it is off, gone, or its processors are stopped."""
    domain = find(link, owner, server_id)
    if domain is None or power_of(domain) != Power.RUNNING:
        return False
    try:
        domain.shutdown()
    except libvirt.libvirtError as error:
        if not says(error, *_ALREADY_OFF):
            raise
        return False
    return True


def is_on(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    """Is there a domain of ours that has a running QEMU?"""
    domain = find(link, owner, server_id)
    return domain is not None and is_active(domain)


def is_active(domain: libvirt.virDomain) -> bool:
    """Has it a running QEMU? False when it vanished meanwhile."""
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        if not says(error, libvirt.VIR_ERR_NO_DOMAIN):
            raise
        return False


def pull_plug(link: libvirt.virConnect, owner: Owner, server_id: str) -> None:
    """Stop our domain at once, forget its saved memory and keep its definition; fine when there is none."""
    domain = find(link, owner, server_id)
    if domain is not None:
        stop(domain)
        forget_memory(domain)


def remove(link: libvirt.virConnect, owner: Owner, server_id: str) -> None:
    """Stop and forget our domain; fine when there is none. Raises NotOurs."""
    domain = find(link, owner, server_id)
    if domain is not None:
        stop(domain)
        undefine(domain)


def stop(domain: libvirt.virDomain) -> None:
    """Destroy it; one that is off or gone is fine, one that hangs in the kernel gets a few more tries."""
    for left in reversed(range(_DESTROY_TRIES)):
        if not is_active(domain):
            return
        try:
            domain.destroy()
        except libvirt.libvirtError as error:
            if says(error, *_ALREADY_OFF):
                return
            if left == 0 or not says(error, libvirt.VIR_ERR_SYSTEM_ERROR):
                raise
            time.sleep(_DESTROY_PAUSE)


def undefine(domain: libvirt.virDomain) -> None:
    """Forget the definition and all that libvirt keeps with it."""
    try:
        domain.undefineFlags(_FORGET)
    except libvirt.libvirtError as error:
        if not says(error, libvirt.VIR_ERR_NO_DOMAIN):
            raise


def target_of(domain: libvirt.virDomain, path: str) -> str:
    """Under which name (vda, vdb when it is rescued) the guest has the disk of that path; empty when it runs without."""
    for disk in ET.fromstring(domain.XMLDesc(0)).iterfind("devices/disk"):  # noqa: S314 - it is libvirt who answers
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") == path:
            return target.get("dev", "")
    return ""


def copying(domain: libvirt.virDomain, device: str) -> dict[str, int]:
    """How far the copying of that disk is; nothing when nobody copies it, or the guest is off or gone."""
    try:
        return dict(domain.blockJobInfo(device)) if device else {}
    except libvirt.libvirtError as error:
        if says(error, *_ALREADY_OFF):
            return {}
        raise


def has_memory(domain: libvirt.virDomain) -> bool:
    """Is its memory saved?"""
    return bool(domain.hasManagedSaveImage(0))


def forget_memory(domain: libvirt.virDomain) -> None:
    """Its next start is a boot."""
    if has_memory(domain):
        domain.managedSaveRemove(0)


def resources(link: libvirt.virConnect, host: str, disk_gb: int, version: int) -> HostResources:
    """What the machine has. `version` is QEMU's, which libvirt would have to find out by starting it for a second or more."""
    _, _, vcpus, _, cells, sockets, cores, threads = link.getInfo()
    ram_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20  # getInfo misses memory that was plugged in
    topology = {"cells": cells, "sockets": sockets, "cores": cores, "threads": threads}
    return HostResources(
        vcpus=vcpus,
        ram_mb=ram_mb,
        disk_gb=disk_gb,
        hypervisor_type=link.getType(),
        hypervisor_version=version or link.getVersion(),
        hypervisor_hostname=host,
        cpu_info={**cpu_info(), "topology": topology},
    )


def warm_up(link: libvirt.virConnect) -> None:
    """Let libvirt find out what QEMU can do, as it must before the first guest; it keeps that for the next process."""
    link.getCapabilities()


def says(error: libvirt.libvirtError, *codes: int) -> bool:
    """Is it one of these errors?"""
    return error.get_error_code() in codes
