"""Another system in the guest's place.

The guest's own definition is kept beside its disks while it is rescued (unrescue.xml, as Nova names it): it is written
first and removed last, so an order that comes again after a crash finds its way from wherever the first one came to.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from novaflow.virt.checks import check_rescue, with_source
from novaflow.virt.domain_facts import Paths
from novaflow.virt.domain_xml import build_domain
from novaflow.virt.driver import BootSource, GuestSpec
from novaflow.virt.hardware import read_hardware
from novaflow.virt.image_facts import inspect
from novaflow.virt.instance_files import CONFIG_DRIVE, write_config_drive, write_whole
from novaflow.virt.libvirt import domains, power, wiring
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.qemu_img import create_overlay
from novaflow.virt.wire.laid import LaidWire

OWN: Final = "unrescue.xml"
_ROOM: Final = "rescue"  # the directory of what the rescue system has


async def rescue(host: LibvirtHost, guest: GuestSpec, source: BootSource) -> None:
    """Boot `source`. Its disk comes first, the guest's own root disk second, the config drive last; no ephemeral and no swap disk."""
    async with host.working("rescue", guest.server_id):
        home = host.files.of(guest.server_id)
        own = await host.run(domains.definition, guest.server_id)
        if not (home / OWN).exists():
            write_whole(home / OWN, own)
        try:
            found = check_rescue(guest, source) or (await inspect(source.disk) if source.disk else None)
            await see_through(host.run(domains.pull_plug, guest.server_id))
            room = await asyncio.to_thread(_fresh_room, home)
            write_config_drive(room, guest.config_drive)
            if source.disk and found:
                await create_overlay(room / "disk", source.disk, found, 0)
            paths = _paths(home, guest, wiring.lay(host, guest))
            xml = build_domain(with_source(guest, source), paths, host.machine, host.owner)
            await see_through(host.connection.run(domains.define, xml))
            await power.start(host, guest.server_id)
        except BaseException:
            await see_through(_restore(host, guest.server_id))
            raise


async def unrescue(host: LibvirtHost, server_id: str) -> None:
    """Boot the own system, from the definition that was kept."""
    async with host.working("unrescue", server_id):
        if (host.files.of(server_id) / OWN).exists():
            await see_through(_restore(host, server_id))
        await power.start(host, server_id)


async def _restore(host: LibvirtHost, server_id: str) -> None:
    """Off, and what it was."""
    home = host.files.of(server_id)
    await host.run(domains.pull_plug, server_id)
    await host.connection.run(domains.define, (home / OWN).read_text())
    await asyncio.to_thread(shutil.rmtree, home / _ROOM, ignore_errors=True)
    (home / OWN).unlink()


def _fresh_room(home: Path) -> Path:
    room = home / _ROOM
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    return room


def _paths(home: Path, guest: GuestSpec, wire: LaidWire | None) -> Paths:
    def there(path: Path) -> str:
        return str(path) if path.exists() else ""

    return Paths(
        console=str(home / "console.log"),
        disk=there(home / _ROOM / "disk"),
        own_disk=there(home / "disk"),
        own_bus=read_hardware(guest.flavor, guest.properties).disk_bus,
        config_drive=there(home / _ROOM / CONFIG_DRIVE),
        wire=wire,
    )
