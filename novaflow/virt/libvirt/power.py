"""Power: on, off, both, and the button that makes a guest's kernel dump."""

import asyncio
from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.libvirt import domains
from novaflow.virt.libvirt.failures import failures
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.waiting import see_through

BUTTON_SECONDS: Final = 3.0  # between two presses of the power button: a guest that is still booting misses the first
LOOK_SECONDS: Final = 0.2  # between two looks whether a guest is off, for the event may be missed
START_SECONDS: Final = 600.0  # for a start that reads a guest's memory from the disk


async def power_on(host: LibvirtHost, server_id: str) -> None:
    """Start it from its definition, or with the memory that was saved."""
    async with host.working("power_on", server_id):
        await start(host, server_id)


async def power_off(host: LibvirtHost, server_id: str, timeout: float) -> None:
    """By the ACPI power button, which is pressed again until the guest hears it, and after `timeout` by the plug."""
    with failures("power_off", server_id):
        if timeout > 0:
            await _asked(host, server_id, timeout)
    async with host.working("power_off", server_id):
        await see_through(host.run(domains.pull_plug, server_id))


async def reboot(host: LibvirtHost, server_id: str, *, hard: bool, timeout: float) -> None:
    """Off by the button or by the plug, then started from its definition, as Nova does both."""
    await power_off(host, server_id, 0.0 if hard else timeout)
    async with host.working("reboot", server_id):
        await start(host, server_id)


async def inject_nmi(host: LibvirtHost, server_id: str) -> None:
    """Raises GuestFailed when it is off."""
    async with host.working("inject_nmi", server_id):
        await host.run(_inject_nmi, server_id)


async def start(host: LibvirtHost, server_id: str) -> None:
    """Start the guest whose lock the caller holds; raises Refused when there is none."""
    await see_through(host.connection.run_for(START_SECONDS, domains.start, host.owner, server_id))


async def _asked(host: LibvirtHost, server_id: str, timeout: float) -> None:
    """Press the button until the guest is off, can hear no more, or `timeout` seconds are over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    press_at = loop.time()
    while (now := loop.time()) < end:
        if now >= press_at:
            press_at = now + BUTTON_SECONDS
            still_on = await host.run(domains.press_power_button, server_id)
        else:
            still_on = await host.run(domains.is_on, server_id)
        if not still_on:
            return
        await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - now)))


def _inject_nmi(link: libvirt.virConnect, owner: Owner, server_id: str) -> None:
    domains.must_run(link, owner, server_id).injectNMI()
