"""Guests that leave for another host while they run: with their memory, and with their disks, for no storage is shared.

The two libvirt daemons do it among themselves (peer to peer), so it goes on should this process die: the file LEAVING in the
guest's directory says that it was begun. Disks come whole to the destination, without an image behind them.
"""

import asyncio
from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.driver import Incoming
from novaflow.virt.image_facts import Refused
from novaflow.virt.instance_files import write_whole
from novaflow.virt.libvirt import arrivals, between, building, domains, jobs, leftovers
from novaflow.virt.libvirt.connection import release, share
from novaflow.virt.libvirt.failures import failures
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through
from novaflow.virt.moved_domain import moved, owner_there, writable_disks

_FLAGS: Final = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_NON_SHARED_DISK
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE  # a guest that writes faster than the network is slowed down until it fits
)
_AS_SENT: Final = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE


async def disk_sizes(host: LibvirtHost, server_id: str) -> dict[str, int]:
    """As the guest sees them, whatever they take on this host."""
    with failures("disk_sizes", server_id):
        return await host.run(_disk_sizes, server_id)


async def migrate(host: LibvirtHost, server_id: str, incoming: Incoming) -> None:
    """Send it, and remove what stays behind. A guest that has arrived in an earlier try is a success."""
    async with host.working("migrate", server_id):
        if incoming.kind != arrivals.KIND:
            raise Refused(f"a guest of libvirt cannot move to a host of kind {incoming.kind!r}")
        if not await host.run(_is_whole, server_id) and await _has_arrived(server_id, incoming):
            await see_through(building.clear(host, server_id))
            return
        await host.run(_go_on, server_id)
        with host.copying.allowed(server_id):
            await _leave(host, server_id, incoming)


async def force_complete(host: LibvirtHost, server_id: str) -> None:
    """As soon as libvirt is at it. Whoever migrates the guest has its lock, so this goes without."""
    with failures("force_complete", server_id):
        while (host.files.of(server_id) / leftovers.LEAVING).exists():
            if await host.run(between.stand_still, server_id):
                return
            await asyncio.sleep(jobs.LOOK_SECONDS)
        raise Refused("the guest is not migrating")


async def _leave(host: LibvirtHost, server_id: str, incoming: Incoming) -> None:
    """Whatever happens, afterwards the guest is either here as before or there and nothing of it here."""
    home = host.files.of(server_id)
    write_whole(home / leftovers.LEAVING, incoming.uri)
    failure: BaseException | None = None
    try:
        await _send(host, server_id, incoming)
    except BaseException as error:
        failure = error
    await see_through(leftovers.clear(host.connection, host.files, host.owner, server_id))
    has_left = not home.exists()
    if has_left:
        host.known.discard(server_id)
    if failure and not (has_left and isinstance(failure, Exception)):  # whoever cancels hears of nothing else
        raise failure


async def _send(host: LibvirtHost, server_id: str, incoming: Incoming) -> None:
    """Raises Refused when it takes too long; it is aborted then."""
    seconds = host.route.timeout
    sending = host.connection.run_for(jobs.JOB_SECONDS, _migrate, host.owner, server_id, incoming)
    try:
        async with asyncio.timeout(seconds) as deadline:
            await jobs.watch(host, server_id, sending)
    except TimeoutError:
        if deadline.expired():
            raise Refused(f"the guest had not moved after {seconds:g} s (compute.live_migration_timeout)") from None
        raise


async def _has_arrived(server_id: str, incoming: Incoming) -> bool:
    """Ask the destination, for it is not here as it should be."""
    owner = owner_there(incoming.xml)
    there = share(incoming.uri)
    try:
        return owner is not None and await there.run(arrivals.has_come, owner, server_id)
    finally:
        await release(there)


def _disk_sizes(link: libvirt.virConnect, owner: Owner, server_id: str) -> dict[str, int]:
    domain = domains.must_find(link, owner, server_id)
    return {name: domain.blockInfo(file)[0] for name, file in writable_disks(domain.XMLDesc()).items()}


def _is_whole(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    """Does it run here, or is it paused because somebody wants it so?"""
    domain = domains.find(link, owner, server_id)
    return domain is not None and domains.is_active(domain) and not between.is_between(domain)


def _go_on(link: libvirt.virConnect, owner: Owner, server_id: str) -> None:
    """After a crash in the last moment of a migration that came to nothing the guest stands still: let it run again."""
    between.go_on(domains.must_run(link, owner, server_id))


def _migrate(link: libvirt.virConnect, owner: Owner, server_id: str, incoming: Incoming) -> None:
    domain = domains.must_run(link, owner, server_id)
    host = f"[{incoming.address}]" if ":" in incoming.address else incoming.address
    running, defined = domain.XMLDesc(_AS_SENT), domain.XMLDesc(_AS_SENT | libvirt.VIR_DOMAIN_XML_INACTIVE)
    where = {
        libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{host}",  # libvirt chooses the port
        libvirt.VIR_MIGRATE_PARAM_LISTEN_ADDRESS: incoming.address,
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: moved(running, incoming.xml),
        libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: moved(defined, incoming.xml),
    }
    domain.migrateToURI3(incoming.uri, where, _FLAGS)
