"""Guests that come from another host while they run: making ready for one, and keeping it."""

import asyncio
from collections.abc import Mapping
from typing import Final

import libvirt

from novaflow.virt.checks import check_arrival
from novaflow.virt.domain_facts import Owner
from novaflow.virt.driver import GuestSpec, Incoming
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt import building, domains
from novaflow.virt.libvirt.between import is_between
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.qemu_img import create_blank

KIND: Final = "libvirt"


async def prepare_incoming(host: LibvirtHost, guest: GuestSpec, disk_bytes: Mapping[str, int]) -> Incoming:
    """Empty disks, the config drive (which QEMU does not send), and the domain as it is to be here.

    Refused when a guest of that id is here or on its way: one that has come must not be lost to an order that comes twice.
    """
    async with host.working("prepare_incoming", guest.server_id):
        uri = host.route.reached(host.connection.uri)
        check_arrival(guest, disk_bytes)
        if await host.run(domains.find, guest.server_id) is not None:
            raise Refused("there is a guest of this id on this host")
        await asyncio.to_thread(host.files.remove, guest.server_id)
        try:
            host.files.make(guest.server_id, guest.config_drive)
            for name, size in disk_bytes.items():
                await create_blank(host.files.of(guest.server_id) / name, size)
            return Incoming(kind=KIND, uri=uri, address=host.route.address, xml=building.domain_of(host, guest))
        except BaseException:
            await see_through(asyncio.to_thread(host.files.remove, guest.server_id))
            raise


async def finish_incoming(host: LibvirtHost, server_id: str) -> None:
    """It was kept when all of it had come."""
    async with host.working("finish_incoming", server_id):
        if not await host.run(has_come, server_id):
            raise Refused("the guest has not come")
        host.known.add(server_id)


def has_come(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    """Is it wholly here? One on its way has a domain too, which libvirt makes persistent only when all of it is there."""
    domain = domains.look(link, owner, server_id)
    try:
        return domain is not None and bool(domain.isPersistent()) and not is_between(domain)
    except libvirt.libvirtError as error:
        if domains.says(error, libvirt.VIR_ERR_NO_DOMAIN):
            return False
        raise
