"""Volumes: made and copied by qemu-img, given to guests and taken from them by libvirt.

A volume goes into the definition by which a guest starts first, and into the QEMU that runs afterwards; it is taken away in
the opposite order. So what a killed process has left half done is done again by the order that comes again.
"""

import asyncio
import xml.etree.ElementTree as ET
from typing import Final

import libvirt

from novaflow.virt.checks import GIB
from novaflow.virt.domain_devices import volume_disk
from novaflow.virt.domain_facts import Owner, VolumeDisk
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt import domains, snapshots
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.nodes import beside_leftovers
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.qemu_img import create_blank, flatten, grow
from novaflow.virt.volume_files import free_device

ASK_SECONDS: Final = 5.0  # between two askings: a guest that is still booting misses the first
LOOK_SECONDS: Final = 0.1
_LIVE: Final = libvirt.VIR_DOMAIN_AFFECT_LIVE
_CONFIG: Final = libvirt.VIR_DOMAIN_AFFECT_CONFIG
_DEFINITION: Final = libvirt.VIR_DOMAIN_XML_INACTIVE
_ON_ITS_WAY: Final = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_NO_DOMAIN)
"""What is said of a disk that is just going, or of one whose guest has just gone off."""


async def make(host: LibvirtHost, volume_id: str, size_gb: int, snapshot_id: str) -> None:
    """It appears whole or not at all."""
    async with host.working("make_volume", volume_id):
        disk = host.volumes.disk(volume_id)
        if disk.exists():
            return
        host.volumes.prepare(disk)
        fresh = disk.with_name("disk.new")
        fresh.unlink(missing_ok=True)
        if snapshot_id:
            await flatten(host.volumes.snapshot(snapshot_id), fresh)
            await grow(fresh, size_gb * GIB)
        else:
            await create_blank(fresh, size_gb * GIB)
        fresh.replace(disk)


async def remove(host: LibvirtHost, volume_id: str) -> None:
    """Refused when a guest has it."""
    async with host.working("remove_volume", volume_id):
        await see_through(asyncio.to_thread(host.volumes.remove, volume_id))


async def attach(host: LibvirtHost, server_id: str, volume_id: str, device: str) -> str:
    """The guest has it wholly, or not at all."""
    async with host.working("attach_volume", server_id):
        await host.run(domains.must_find, server_id)
        async with host.at_rest([volume_id]):
            noted = host.volumes.take(volume_id, server_id)
        volume = VolumeDisk(volume_id=volume_id, path=str(host.volumes.disk(volume_id)), device=noted.device or device)
        try:
            found = await see_through(host.run(_attach, server_id, volume))
        except BaseException:
            await see_through(_leave_without(host, server_id, volume))
            raise
        host.volumes.name_device(volume_id, server_id, found)
        return found


async def detach(host: LibvirtHost, server_id: str, volume_id: str, timeout: float) -> None:
    """Asked, and asked again, until the guest lets go or the time is over."""
    async with host.working("detach_volume", server_id):
        if host.volumes.stored(volume_id).server_id != server_id:
            return
        path = str(host.volumes.disk(volume_id))
        await _asked(host, server_id, path, timeout)
        await see_through(host.run(_undefine, server_id, path))
        host.volumes.let_go(volume_id)


async def snapshot(host: LibvirtHost, volume_id: str, snapshot_id: str) -> None:
    """Of a volume that a guest has, with nobody else at work on the guest; no guest gets one that is being copied."""
    holder = host.volumes.stored(volume_id).server_id
    async with host.working("snapshot_volume", holder or volume_id):
        if host.volumes.stored(volume_id).server_id != holder:
            raise Refused("the volume was given to somebody else meanwhile")
        path, disk = host.volumes.snapshot(snapshot_id), host.volumes.disk(volume_id)
        if path.exists():
            return
        if not disk.exists():
            raise Refused(f"there is no volume {volume_id} on this host")
        host.volumes.prepare(path)
        if not holder:
            await flatten(disk, path)
            return
        with host.copying.allowed(holder):
            await snapshots.copy(host, holder, disk, path)


async def remove_snapshot(host: LibvirtHost, snapshot_id: str) -> None:
    """Its file goes."""
    async with host.working("remove_volume_snapshot", snapshot_id):
        await see_through(asyncio.to_thread(host.volumes.remove_snapshot, snapshot_id))


async def _leave_without(host: LibvirtHost, server_id: str, volume: VolumeDisk) -> None:
    """What could not be given wholly is taken out of the definition; what the guest runs with stays noted as its own."""
    await host.run(_undefine, server_id, volume.path)
    if not await host.run(_runs_with, server_id, volume.path):
        host.volumes.let_go(volume.volume_id)


async def _asked(host: LibvirtHost, server_id: str, path: str, timeout: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    ask_at = loop.time()
    while await host.run(_runs_with, server_id, path):
        now = loop.time()
        if now >= end:
            raise Refused(f"the guest has not let the disk go in {timeout:g} s")
        if now >= ask_at:
            ask_at = now + ASK_SECONDS
            await see_through(host.run(_ask, server_id, path))
        await asyncio.sleep(LOOK_SECONDS)


def _attach(link: libvirt.virConnect, owner: Owner, server_id: str, volume: VolumeDisk) -> str:
    domain = domains.must_find(link, owner, server_id)
    defined = _disk_of(domain, volume.path, _DEFINITION)
    if defined is None:
        taken = _targets(domain, _DEFINITION) | _targets(domain, 0)
        device = free_device(volume.device, taken)
        element = volume_disk(VolumeDisk(volume_id=volume.volume_id, path=volume.path, device=device))
        domain.attachDeviceFlags(ET.tostring(element, encoding="unicode"), _CONFIG)
    else:
        device = _target(defined)
        element = volume_disk(VolumeDisk(volume_id=volume.volume_id, path=volume.path, device=device))
    if domains.is_active(domain) and _disk_of(domain, volume.path, 0) is None:
        try:
            _attach_live(domain, element, volume.path)
        except libvirt.libvirtError:
            if domains.is_active(domain):
                raise
    return device


def _attach_live(domain: libvirt.virDomain, element: ET.Element, path: str) -> None:
    wanted = ET.tostring(element, encoding="unicode")
    beside_leftovers(domain, path, lambda: domain.attachDeviceFlags(wanted, _LIVE))


def _ask(link: libvirt.virConnect, owner: Owner, server_id: str, path: str) -> None:
    domain = domains.look(link, owner, server_id)
    disk = _disk_of(domain, path, 0) if domain else None
    if domain is None or disk is None:
        return
    try:
        domain.detachDeviceFlags(ET.tostring(disk, encoding="unicode"), _LIVE)
    except libvirt.libvirtError as error:
        if not (domains.says(error, *_ON_ITS_WAY) or "unplug" in str(error)):
            raise


def _undefine(link: libvirt.virConnect, owner: Owner, server_id: str, path: str) -> None:
    domain = domains.look(link, owner, server_id)
    disk = _disk_of(domain, path, _DEFINITION) if domain else None
    if domain is not None and disk is not None:
        domain.detachDeviceFlags(ET.tostring(disk, encoding="unicode"), _CONFIG)


def _runs_with(link: libvirt.virConnect, owner: Owner, server_id: str, path: str) -> bool:
    domain = domains.look(link, owner, server_id)
    return domain is not None and domains.is_active(domain) and _disk_of(domain, path, 0) is not None


def _disk_of(domain: libvirt.virDomain, path: str, flags: int) -> ET.Element | None:
    for disk in _disks(domain, flags):
        source = disk.find("source")
        if source is not None and source.get("file") == path:
            return disk
    return None


def _targets(domain: libvirt.virDomain, flags: int) -> set[str]:
    return {_target(disk) for disk in _disks(domain, flags)}


def _target(disk: ET.Element) -> str:
    target = disk.find("target")
    return "" if target is None else target.get("dev", "")


def _disks(domain: libvirt.virDomain, flags: int) -> list[ET.Element]:
    return ET.fromstring(domain.XMLDesc(flags)).findall("devices/disk")  # noqa: S314 - it is libvirt who answers
