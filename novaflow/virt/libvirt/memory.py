"""A guest's memory while it does not run: kept in QEMU (paused), or saved on the disk (suspended)."""

from collections.abc import Callable

import libvirt

from novaflow.states import Power
from novaflow.virt.domain_facts import Owner
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt import domains, jobs, power
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through


async def pause(host: LibvirtHost, server_id: str) -> None:
    """Stop the processors."""
    async with host.working("pause", server_id):
        await host.run(_switch, server_id, to=Power.PAUSED)


async def unpause(host: LibvirtHost, server_id: str) -> None:
    """Let them go on."""
    async with host.working("unpause", server_id):
        await host.run(_switch, server_id, to=Power.RUNNING)


async def suspend(host: LibvirtHost, server_id: str) -> None:
    """Save the memory where libvirt keeps it (managed save). Cancelled, the guest goes on unless the saving is done."""
    async with host.working("suspend", server_id):
        saving = host.connection.run_for(jobs.JOB_SECONDS, _save, host.owner, server_id)
        await jobs.watch(host, server_id, saving)


async def resume(host: LibvirtHost, server_id: str) -> None:
    """Start it, with the memory that was saved if there is any."""
    async with host.working("resume", server_id):
        await power.start(host, server_id)
        await see_through(host.run(_switch, server_id, to=Power.RUNNING))


def _switch(link: libvirt.virConnect, owner: Owner, server_id: str, *, to: Power) -> None:
    domain = domains.must_run(link, owner, server_id)
    act: Callable[[], int] = domain.suspend if to == Power.PAUSED else domain.resume
    if domains.power_of(domain) != to:
        act()


def _save(link: libvirt.virConnect, owner: Owner, server_id: str) -> None:
    """Whatever it did, it will run when it is resumed."""
    domain = domains.must_find(link, owner, server_id)
    if domains.is_active(domain):
        domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)
    elif not domains.has_memory(domain):
        raise Refused("the guest is off")
