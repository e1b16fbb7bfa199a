"""The guest's agent (qemu-guest-agent), where an image says that it has one."""

from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt import domains
from novaflow.virt.libvirt.host import LibvirtHost

AGENT_SECONDS: Final = 10
_MISSING: Final = (
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_NO_SUPPORT,
)  # fmt: skip


async def set_password(host: LibvirtHost, server_id: str, user: str, password: str) -> None:
    """Raises GuestFailed when there is no agent, when it does not answer, and when it refuses."""
    async with host.working("set_password", server_id):
        await host.run(_set_password, server_id, user, password)


def _set_password(link: libvirt.virConnect, owner: Owner, server_id: str, user: str, password: str) -> None:
    domain = domains.must_run(link, owner, server_id)
    try:
        domain.agentSetResponseTimeout(AGENT_SECONDS)
        domain.setUserPassword(user, password)
    except libvirt.libvirtError as error:
        raise Refused(_why(error, password)) from None


def _why(error: libvirt.libvirtError, password: str) -> str:
    if domains.says(error, *_MISSING):
        return "QEMU guest agent is not enabled"  # as Nova says it
    if domains.says(error, libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED):
        return "the guest's agent does not answer: is qemu-guest-agent running in it?"
    said = str(error.get_error_message())
    return f"the guest's agent refused: {said.replace(password, '***') if password else said}"
