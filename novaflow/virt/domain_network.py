"""A guest's network cards, one per address, none of which leads to the host or to another guest.

The first one is a wire to the compute host, which answers on it as a network does (novaflow.virt.wire): DHCP, the gateway, and
the metadata service, which so knows the guest by its card. The others, and all where there can be no wire, are QEMU's user
network, shut off. libvirt has no elements for either, so both go to QEMU's command line.
"""

import ipaddress
import itertools
import xml.etree.ElementTree as ET
from typing import Final

from novaflow.models import Address
from novaflow.virt.driver import GuestSpec
from novaflow.virt.hardware import VIF_MODELS
from novaflow.virt.wire.laid import LaidWire

QEMU_URI: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
NETDEV: Final = "-netdev"
_FIRST_SLOT: Final = 0x10  # on the PCI bus, for network cards: libvirt does not know them and counts from 1

ET.register_namespace("qemu", QEMU_URI)


def network(guest: GuestSpec, vif_model: str, wire: LaidWire | None) -> ET.Element:
    """The command line's element."""
    command_line = ET.Element(f"{{{QEMU_URI}}}commandline")
    for number, address in enumerate(guest.addresses):
        netdev = f"user,id=net{number},restrict=on,{_addressing(guest.subnet, address)}"
        if wire and number == 0:
            netdev = f"dgram,id=net0,{_end('local', wire.qemu_end)},{_end('remote', wire.host_end)}"
        kind, slot = VIF_MODELS[vif_model], _FIRST_SLOT + number
        device = f"{kind},netdev=net{number},id=nic{number},mac={address.mac},addr={slot:#x}"
        for argument in (NETDEV, netdev, "-device", device):
            ET.SubElement(command_line, f"{{{QEMU_URI}}}arg", value=argument)
    return command_line


def netdevs(domain: ET.Element) -> list[ET.Element]:
    """The arguments that say what is behind the cards, in their order."""
    arguments = list(domain.iter(f"{{{QEMU_URI}}}arg"))
    return [after for one, after in itertools.pairwise(arguments) if one.get("value") == NETDEV]


def _end(which: str, path: str) -> str:
    return f"{which}.type=unix,{which}.path={path.replace(',', ',,')}"  # as QEMU wants a comma


def _addressing(subnet: str, address: Address) -> str:
    """The gateway is the subnet's first address; the name server QEMU insists on is put at the far end, out of the way."""
    network = ipaddress.ip_network(subnet)
    if network.version == 6:
        return f"ipv4=off,ipv6=on,ipv6-net={network.with_prefixlen},ipv6-host={network[1]},ipv6-dns={network[-2]}"
    return f"net={network.with_prefixlen},host={network[1]},dns={network[-2]},dhcpstart={address.ip}"
