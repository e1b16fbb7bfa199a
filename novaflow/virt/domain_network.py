"""A guest's network cards: QEMU's user network, one per address, shut off from the host.

libvirt has no element that says `restrict`, so this goes to QEMU's command line. QEMU's own DHCP answers with the server's
address. Guests do not reach each other.
"""

import ipaddress
import xml.etree.ElementTree as ET
from typing import Final

from novaflow.models import Address
from novaflow.virt.driver import GuestSpec
from novaflow.virt.hardware import VIF_MODELS

QEMU_URI: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
_FIRST_SLOT: Final = 0x10  # on the PCI bus, for network cards: libvirt does not know them and counts from 1

ET.register_namespace("qemu", QEMU_URI)


def network(guest: GuestSpec, vif_model: str) -> ET.Element:
    """The command line's element."""
    command_line = ET.Element(f"{{{QEMU_URI}}}commandline")
    for number, address in enumerate(guest.addresses):
        netdev = f"user,id=net{number},restrict=on,{_addressing(guest.subnet, address)}"
        kind, slot = VIF_MODELS[vif_model], _FIRST_SLOT + number
        device = f"{kind},netdev=net{number},id=nic{number},mac={address.mac},addr={slot:#x}"
        for argument in ("-netdev", netdev, "-device", device):
            ET.SubElement(command_line, f"{{{QEMU_URI}}}arg", value=argument)
    return command_line


def _addressing(subnet: str, address: Address) -> str:
    """The gateway is the subnet's first address; the name server QEMU insists on is put at the far end, out of the way."""
    network = ipaddress.ip_network(subnet)
    if network.version == 6:
        return f"ipv4=off,ipv6=on,ipv6-net={network.with_prefixlen},ipv6-host={network[1]},ipv6-dns={network[-2]}"
    return f"net={network.with_prefixlen},host={network[1]},dns={network[-2]},dhcpstart={address.ip}"
