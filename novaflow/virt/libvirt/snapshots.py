"""The root disk as it is now, as an image that stands alone.

A guest that runs or is paused goes on: QEMU mirrors the disk to another file until they are alike, and is then told to leave
it at that (libvirt's blockCopy, without the pivot; Nova does the same). The guest's writes go to both meanwhile, so that they
become alike however much it writes. Nothing has to be merged back: an aborted copying leaves the guest's disk as it is.

libvirt's backup would be an image of one moment, but a process that is killed while it begins one leaves a domain with a
job that nobody can end ("backup job data missing").
"""

import asyncio
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.image_facts import Refused
from novaflow.virt.instance_files import write_whole
from novaflow.virt.libvirt import domains, jobs, leftovers
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.nodes import beside_leftovers
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.qemu_img import flatten

LOOK_SECONDS: Final = 0.1
_FLAGS: Final = libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB | libvirt.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES


async def snapshot(host: LibvirtHost, server_id: str, path: Path) -> None:
    """Write it to `path`, which appears whole or not at all. The guest's end ends this too."""
    async with host.working("snapshot", server_id):
        with host.copying.allowed(server_id):
            disk = host.files.of(server_id) / "disk"
            await host.run(domains.must_find, server_id)
            if not disk.exists():
                raise Refused("the guest has no root disk")
            await copy(host, server_id, disk, path)


async def copy(host: LibvirtHost, server_id: str, disk: Path, path: Path) -> None:
    """Write one of the guest's disks to `path`; the caller works on the guest."""
    is_on = await host.run(domains.is_on, server_id)
    if not (is_on and await _copy_live(host, server_id, disk, path)):
        await flatten(disk, path)


async def _copy_live(host: LibvirtHost, server_id: str, disk: Path, path: Path) -> bool:
    """False when the guest went off meanwhile. Once the file has its name nothing waits any more, so nothing is cancelled."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    marker = host.files.of(server_id) / leftovers.COPYING
    write_whole(marker, f"{part}\n{disk}")
    is_done = False
    try:
        is_whole = await jobs.watch(
            host,
            server_id,
            _mirrored(host, server_id, str(disk), part),
            look=partial(_progress, disk=str(disk)),
            end=partial(leftovers.end_copy, disk=str(disk)),
        )
        if is_whole:
            part.replace(path)
            marker.unlink()
            is_done = True
    except libvirt.libvirtError:
        if await host.run(domains.is_on, server_id):
            raise
    finally:
        if not is_done:
            await see_through(leftovers.clear(host.connection, host.files, host.owner, server_id))
    return is_done


async def _mirrored(host: LibvirtHost, server_id: str, disk: str, target: Path) -> bool:
    """Begin, wait until the files are alike, and leave it at that. False when the guest went off meanwhile."""
    await see_through(host.run(_begin, server_id, disk, str(target)))
    while not await host.run(_is_alike, server_id, disk):
        if not await host.run(domains.is_on, server_id):
            return False
        await asyncio.sleep(LOOK_SECONDS)
    await see_through(host.run(leftovers.end_copy, server_id, disk))
    return await host.run(domains.is_on, server_id)  # or else QEMU may have ended before it wrote the last of the file


def _begin(link: libvirt.virConnect, owner: Owner, server_id: str, disk: str, target: str) -> None:
    domain = domains.must_run(link, owner, server_id)
    device = domains.target_of(domain, disk)
    if not device:
        raise Refused("the guest runs without this disk")
    copy = ET.Element("disk", type="file")
    ET.SubElement(copy, "driver", type="qcow2")
    ET.SubElement(copy, "source", file=target)
    wanted = ET.tostring(copy, encoding="unicode")
    beside_leftovers(domain, target, lambda: domain.blockCopy(device, wanted, None, _FLAGS))


def _is_alike(link: libvirt.virConnect, owner: Owner, server_id: str, disk: str) -> bool:
    """Is all copied, and every write since? Raises Refused when QEMU gave the copying up although the guest goes on."""
    domain = domains.look(link, owner, server_id)
    if domain is None or not domains.is_active(domain):
        return False
    device = domains.target_of(domain, disk)
    mirror = ET.fromstring(domain.XMLDesc(0)).find(f"devices/disk/target[@dev='{device}']/../mirror")  # noqa: S314
    if mirror is None and not domains.copying(domain, device):
        raise Refused("QEMU gave up copying the disk: is there room for it?")
    return mirror is not None and mirror.get("ready") == "yes"


def _progress(link: libvirt.virConnect, owner: Owner, server_id: str, disk: str) -> jobs.Counts:
    domain = domains.look(link, owner, server_id)
    return tuple(sorted(domains.copying(domain, domains.target_of(domain, disk)).items())) if domain else ()
