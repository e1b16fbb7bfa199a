"""Which guests get a wire to their compute host, and where.

QEMU makes its end itself. It can where it is the user that we are and no security module confines it: in the embedded libvirt and in
one that an unprivileged user runs. A system's libvirt runs QEMU as another user, who may not write to the guests' directories.
"""

import ipaddress
import os
from typing import Final

import libvirt

from novaflow.virt.driver import GuestSpec
from novaflow.virt.libvirt.embed import shortened
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.wire import possible
from novaflow.virt.wire.laid import LaidWire, note

WITHOUT: Final = "guests do not reach the metadata service, and have their config drives: their QEMU is too old, runs as another user or is confined"


def can_have_wires(link: libvirt.virConnect, qemu_version: int) -> bool:
    """Whether guests of this libvirt can; asked in one of the connection's threads."""
    return possible.can_have_wires(link.getCapabilities(), qemu_version=qemu_version, uid=os.geteuid())


def lay(host: LibvirtHost, guest: GuestSpec) -> LaidWire | None:
    """Note the wire of a guest in its directory; None where it has none. Raises CannotEmbed, OSError."""
    home = host.files.of(guest.server_id)
    if not host.machine.has_wires or not guest.addresses or ipaddress.ip_network(guest.subnet).version != 4:
        return None
    first, short = guest.addresses[0], shortened(host.files.directory)
    directory = short / home.relative_to(host.files.directory)
    wire = LaidWire(mac=first.mac, ip=first.ip, subnet=guest.subnet, directory=str(directory))
    note(home, wire)
    return wire


def keep_reachable(host: LibvirtHost) -> None:
    """The short path to the guests' directories may have gone with the machine's temporary files. Raises CannotEmbed, OSError."""
    if host.machine.has_wires:
        shortened(host.files.directory)
