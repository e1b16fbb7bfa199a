"""A guest's screen: where VNC serves it, and a picture of it."""

import xml.etree.ElementTree as ET
from typing import Final

import libvirt

from novaflow.virt.domain_facts import Owner
from novaflow.virt.driver import Console
from novaflow.virt.image_facts import Refused
from novaflow.virt.libvirt import domains
from novaflow.virt.libvirt.failures import failures
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.png import to_png

_LONGEST: Final = 64 * 2**20  # bytes of a picture
_PIECE: Final = 2**18


async def console(host: LibvirtHost, server_id: str) -> Console:
    """Raises GuestFailed when it is off or has none."""
    with failures("console", server_id):
        return await host.run(_console, server_id)


async def screenshot(host: LibvirtHost, server_id: str) -> bytes:
    """As PNG, whatever QEMU gives. Raises GuestFailed when it is off or has none."""
    with failures("screenshot", server_id):
        return await host.run(_picture, server_id)


def _console(link: libvirt.virConnect, owner: Owner, server_id: str) -> Console:
    screen = _screen(domains.must_run(link, owner, server_id))
    port = int(screen.get("port", "-1"))
    if port < 0:
        raise Refused("the guest's screen is served at no port")
    return Console(host=screen.get("listen", "127.0.0.1"), port=port)


def _picture(link: libvirt.virConnect, owner: Owner, server_id: str) -> bytes:
    domain = domains.must_run(link, owner, server_id)
    _screen(domain)
    stream = link.newStream()
    try:
        domain.screenshot(stream, 0)
        picture = _read(stream)
        stream.finish()
    except BaseException:
        stream.abort()
        raise
    return to_png(picture)


def _screen(domain: libvirt.virDomain) -> ET.Element:
    graphics = ET.fromstring(domain.XMLDesc(0)).find("devices/graphics[@type='vnc']")  # noqa: S314 - it is libvirt who answers
    if graphics is None:
        raise Refused("the guest has no screen")
    return graphics


def _read(stream: libvirt.virStream) -> bytes:
    picture = bytearray()
    while piece := stream.recv(_PIECE):
        picture += piece
        if len(picture) > _LONGEST:
            raise Refused(f"the picture of the screen is larger than {_LONGEST} bytes")
    return bytes(picture)
