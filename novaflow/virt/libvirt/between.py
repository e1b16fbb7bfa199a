"""Guests whose processors stand still because of a migration: for a moment at both ends, longer when it is forced, and after crashes."""

from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt import domains

_UNDER_WAY: Final = (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)


def is_between(domain: libvirt.virDomain) -> bool:
    """Does it stand still, and nobody wants it paused?"""
    state, reason = domain.state()
    return state == libvirt.VIR_DOMAIN_PAUSED and reason in _UNDER_WAY


def go_on(domain: libvirt.virDomain) -> None:
    """Of a migration that came to nothing: let it run again, if that is why it stands still."""
    try:
        if is_between(domain):
            domain.resume()
    except libvirt.libvirtError as error:
        if not domains.says(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            raise  # else it is off or gone


def stand_still(link: libvirt.virConnect, owner: Owner, server_id: str) -> bool:
    """Stop its processors if it is migrating, so that nothing changes any more that has been copied; whether it was.

    Fine when they stand still already. libvirt notes that the migration is why, and lets it run where it arrives, or here should it not.
    """
    domain = domains.must_run(link, owner, server_id)
    try:
        is_leaving = bool(domain.jobStats().get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)
        if is_leaving and domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
            domain.suspend()
    except libvirt.libvirtError as error:
        if domains.says(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            raise Refused("the guest has just left") from None
        raise
    return is_leaving
