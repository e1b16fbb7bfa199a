"""The root disk as it is now, as an image that stands alone.

A guest that runs or is paused goes on: QEMU copies the disk in the background and keeps what the guest overwrites
meanwhile for the copy (libvirt's backup, push mode), so the image is of the moment at which the copying began. Nothing
has to be merged back: an aborted copying leaves the guest's disk as it is.
"""

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.image_facts import Refused
from novaflow.virt.instance_files import write_whole
from novaflow.virt.libvirt import domains, jobs, leftovers
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.qemu_img import flatten

LOOK_SECONDS: Final = 0.1


async def snapshot(host: LibvirtHost, server_id: str, path: Path) -> None:
    """Write it to `path`, which appears whole or not at all. The guest's end ends this too."""
    async with host.working("snapshot", server_id):
        with host.copying.allowed(server_id):
            disk = host.files.of(server_id) / "disk"
            is_on = await host.run(_is_on, server_id)
            if not disk.exists():
                raise Refused("the guest has no root disk")
            if not (is_on and await _copy_live(host, server_id, disk, path)):
                await flatten(disk, path)


async def _copy_live(host: LibvirtHost, server_id: str, disk: Path, path: Path) -> bool:
    """False when the guest went off meanwhile."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    marker = host.files.of(server_id) / leftovers.COPYING
    write_whole(marker, str(part))
    try:
        await jobs.watch(host, server_id, _copied(host, server_id, disk, part))
        is_whole = await host.run(_is_whole, server_id)
        if is_whole:
            await asyncio.to_thread(part.replace, path)
    except libvirt.libvirtError:
        if await host.run(domains.is_on, server_id):
            raise
        is_whole = False
    finally:
        await see_through(leftovers.clear(host.connection, host.files, host.owner, server_id))
    return is_whole


async def _copied(host: LibvirtHost, server_id: str, disk: Path, target: Path) -> None:
    """Begin, and wait until there is no job any more, however it ended."""
    await see_through(host.run(_begin, server_id, str(disk), str(target)))
    while await host.run(_is_copying, server_id):
        await asyncio.sleep(LOOK_SECONDS)


def _is_on(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    return domains.is_active(domains.must_find(link, owner, server_id))


def _begin(link: libvirt.virConnect, owner: Owner, server_id: str, disk: str, target: str) -> None:
    domain = domains.must_run(link, owner, server_id)
    device = target_of(domain.XMLDesc(0), disk)
    backup = ET.Element("domainbackup", mode="push")
    one = ET.SubElement(ET.SubElement(backup, "disks"), "disk", name=device, backup="yes", type="file")
    ET.SubElement(one, "driver", type="qcow2")
    ET.SubElement(one, "target", file=target)
    domain.backupBegin(ET.tostring(backup, encoding="unicode"), None, 0)


def target_of(xml: str, path: str) -> str:
    """Under which name (vda, vdb when it is rescued) the guest has the disk of that path; raises Refused."""
    for disk in ET.fromstring(xml).iterfind("devices/disk"):  # noqa: S314 - it is libvirt who answers
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") == path:
            return target.get("dev", "")
    raise Refused("the guest runs without its root disk")


def _is_copying(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    domain = domains.look(link, owner, server_id)
    return domain is not None and leftovers.is_at_work(domain)


def _is_whole(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    """How the last job ended. False when the guest is off; raises Refused when it failed although the guest goes on."""
    domain = domains.look(link, owner, server_id)
    if domain is None or not domains.is_active(domain):
        return False
    stats = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    if not (stats.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP and stats.get("success")):
        raise Refused(f"the disk could not be copied: {stats.get('errmsg', 'libvirt does not say why')}")
    return True
