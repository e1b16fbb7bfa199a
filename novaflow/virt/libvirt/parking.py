"""Guests that are taken aside whole: undefined, their directory renamed, their definition in it.

The definition is written first and removed last. A directory that has one and is no domain is half parked or half
unparked; what opens the host next parks it (`leftovers`), and the order that comes again goes on from there.
"""

import asyncio
import shutil
from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.driver import GuestFile
from novaflow.virt.image_facts import Refused
from novaflow.virt.instance_files import DEFINITION, InstanceFiles, write_whole
from novaflow.virt.libvirt import building, domains, power
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.qemu_img import flatten

_MOVING: Final = "moving"  # the directory of what another host takes
_DISKS: Final = ("disk", "ephemeral")


async def park(host: LibvirtHost, server_id: str) -> None:
    """Refused when it runs or has its memory saved, which no other host could read."""
    async with host.working("park", server_id):
        if not host.files.aside(server_id).exists():
            await see_through(host.run(_park, host.files, server_id))
            host.known.discard(server_id)


async def parked_files(host: LibvirtHost, server_id: str) -> list[GuestFile]:
    """Copies that stand alone, so that the parked guest stays what it is. Made once, until they are taken."""
    async with host.working("parked_files", server_id):
        with host.copying.allowed(server_id):
            return await _copy_files(host.files, server_id)


async def unpark(host: LibvirtHost, server_id: str, *, is_running: bool) -> None:
    """The directory goes back to its name and the definition to libvirt."""
    async with host.working("unpark", server_id):
        home, aside = host.files.of(server_id), host.files.aside(server_id)
        if aside.exists():
            await see_through(building.clear(host, server_id))
            await see_through(asyncio.to_thread(shutil.rmtree, aside / _MOVING, ignore_errors=True))
            aside.rename(home)
        if (home / DEFINITION).exists():
            host.known.add(server_id)
            await see_through(host.connection.run(domains.define, (home / DEFINITION).read_text()))
            (home / DEFINITION).unlink()
        if is_running:
            await power.start(host, server_id)
        else:
            await host.run(domains.must_find, server_id)


async def forget_parked(host: LibvirtHost, server_id: str) -> None:
    """Its files go; a guest of that id that is not parked stays."""
    host.copying.interrupt(server_id)
    async with host.working("forget_parked", server_id):
        await see_through(asyncio.to_thread(host.files.remove_parked, server_id))


def _park(link: libvirt.virConnect, owner: Owner, files: InstanceFiles, server_id: str) -> None:
    home = files.of(server_id)
    domain = domains.find(link, owner, server_id)
    if domain is not None:
        if domains.is_active(domain):
            raise Refused("the guest runs")
        if domains.has_memory(domain):
            raise Refused("the guest's memory is saved: resume it or power it off first")
        write_whole(home / DEFINITION, domains.definition(link, owner, server_id))
        domains.undefine(domain)
    elif not (home / DEFINITION).exists():
        raise Refused("there is no such guest on this host")
    home.rename(files.aside(server_id))


async def _copy_files(files: InstanceFiles, server_id: str) -> list[GuestFile]:
    aside = files.aside(server_id)
    if not aside.exists():
        raise Refused("there is no such parked guest on this host")
    moving = aside / _MOVING
    moving.mkdir(exist_ok=True)
    for name in _DISKS:
        if (aside / name).exists() and not (moving / name).exists():
            await flatten(aside / name, moving / name)
    if (aside / "console.log").exists():
        await asyncio.to_thread(shutil.copyfile, aside / "console.log", moving / "console.log")
    names = (*_DISKS, "console.log")
    return [GuestFile(name=name, path=str(moving / name)) for name in names if (moving / name).exists()]
