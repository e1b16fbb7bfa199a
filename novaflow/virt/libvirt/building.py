"""Making guests and unmaking them: files first, then the domain; the domain first, then the files."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from novaflow.virt.checks import GIB, check_adoption, check_size, check_spec
from novaflow.virt.domain_facts import VolumeDisk
from novaflow.virt.domain_xml import build_domain
from novaflow.virt.driver import GuestFile, GuestSpec
from novaflow.virt.hardware import read_hardware
from novaflow.virt.image_facts import inspect
from novaflow.virt.libvirt import domains, wiring
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.qemu_img import create_blank, create_overlay, grow

MIB: Final = 2**20


async def spawn(host: LibvirtHost, guest: GuestSpec) -> None:
    """Make the guest's files, define it and start it. A cancelled spawn leaves nothing either."""
    async with host.working("spawn", guest.server_id):
        await clear(host, guest.server_id)
        found = check_spec(guest) or (await inspect(guest.disk) if guest.disk else None)
        async with _all_or_nothing(host, guest.server_id):
            host.files.make(guest.server_id, guest.config_drive)
            if guest.disk and found:
                check_size(guest, found)
                disk = host.files.of(guest.server_id) / "disk"
                await create_overlay(disk, guest.disk, found, guest.flavor.disk_gb * GIB)
            await _make_disks(host, guest)
            async with _with_volumes(host, guest):
                await _start_new(host, domain_of(host, guest))


async def adopt(host: LibvirtHost, guest: GuestSpec, files: list[GuestFile], *, is_running: bool) -> None:
    """Make the guest of files that come from elsewhere; disks that are too small for the flavor are grown."""
    async with host.working("adopt", guest.server_id):
        check_adoption(guest, files)
        await clear(host, guest.server_id)
        async with _all_or_nothing(host, guest.server_id):
            host.files.make(guest.server_id, guest.config_drive)
            home = host.files.of(guest.server_id)
            for file in files:
                await asyncio.to_thread(shutil.move, file.path, home / file.name)
            if (home / "disk").exists():
                await grow(home / "disk", guest.flavor.disk_gb * GIB)
            await _make_disks(host, guest)
            xml = domain_of(host, guest)
            if is_running:
                await _start_new(host, xml)
            else:
                await see_through(host.connection.run(domains.define, xml))


async def destroy(host: LibvirtHost, server_id: str) -> None:
    """Stop it, forget it, remove its files, parked ones too; its volumes stay. A domain of that id that is not ours is left alone."""
    host.copying.interrupt(server_id)
    async with host.working("destroy", server_id):
        with contextlib.suppress(domains.NotOurs):
            await see_through(clear(host, server_id))
        await see_through(asyncio.to_thread(host.files.remove_parked, server_id))
        await see_through(asyncio.to_thread(host.volumes.let_go_of, server_id))


async def clear(host: LibvirtHost, server_id: str) -> None:
    """No domain, no files, but for parked ones; raises NotOurs, after removing our files, when the domain is somebody else's."""
    others: domains.NotOurs | None = None
    try:
        await host.run(domains.remove, server_id)
    except domains.NotOurs as error:
        others = error
    await asyncio.to_thread(host.files.remove, server_id)
    host.known.discard(server_id)
    if others:
        raise others


def domain_of(host: LibvirtHost, guest: GuestSpec) -> str:
    """The XML of the guest with the files that it has. Tells the operator of quotas that cannot be kept here."""
    hardware = read_hardware(guest.flavor, guest.properties)
    if hardware.cpu_quotas and not host.machine.has_cgroups:
        host.notice("quota:cpu_* of flavors is ignored: this libvirt has no control groups")
    paths = msgspec.structs.replace(
        host.files.paths(guest.server_id),
        volumes=volumes_of(host, guest.server_id),
        wire=wiring.lay(host, guest),
    )
    return build_domain(guest, paths, host.machine, host.owner)


def volumes_of(host: LibvirtHost, server_id: str) -> tuple[VolumeDisk, ...]:
    """The volumes that are noted as the guest's."""
    return tuple(
        VolumeDisk(volume_id=one.volume_id, path=str(host.volumes.disk(one.volume_id)), device=one.device)
        for one in host.volumes.of(server_id)
    )


@contextlib.asynccontextmanager
async def _all_or_nothing(host: LibvirtHost, server_id: str) -> AsyncIterator[None]:
    host.known.add(server_id)
    try:
        yield
    except BaseException:
        await see_through(clear(host, server_id))
        raise


@contextlib.asynccontextmanager
async def _with_volumes(host: LibvirtHost, guest: GuestSpec) -> AsyncIterator[None]:
    """The guest has the volumes that it is to get, unless nothing comes of it."""
    async with host.at_rest(volume.volume_id for volume in guest.volumes):
        host.volumes.take_all(guest.volumes)
    try:
        yield
    except BaseException:
        host.volumes.let_go_of_all(guest.volumes)
        raise


async def _make_disks(host: LibvirtHost, guest: GuestSpec) -> None:
    """The ephemeral disk, unless it came with the guest, and the swap disk; where the flavor has them."""
    home, flavor = host.files.of(guest.server_id), guest.flavor
    ephemeral = home / "ephemeral"
    if ephemeral.exists():
        await grow(ephemeral, flavor.ephemeral_gb * GIB)
    elif flavor.ephemeral_gb:
        await create_blank(ephemeral, flavor.ephemeral_gb * GIB)
    if flavor.swap_mb:
        await create_blank(home / "swap", flavor.swap_mb * MIB)


async def _start_new(host: LibvirtHost, xml: str) -> None:
    given_up = threading.Event()
    try:
        await see_through(host.connection.run(domains.define_and_start, xml, given_up))
    except TimeoutError:
        given_up.set()
        raise
