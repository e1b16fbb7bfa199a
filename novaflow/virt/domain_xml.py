"""The domain XML of a guest: a pure function from what is wanted to what libvirt is told.

The metadata element says whose a domain is. A driver asks for it before it touches a domain, so that several
hosts (and several clouds) can share one libvirt and what an administrator made by hand is left alone.
"""

import ipaddress
import re
import xml.etree.ElementTree as ET
from typing import Final

from novaflow.models import Address, Value
from novaflow.virt.driver import GuestSpec

METADATA_URI: Final = "urn:novaflow:domain:1"
QEMU_URI: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
TCG_CACHE_MIB: Final = (
    32  # of translated code: a Linux boot takes a quarter longer with 16, and QEMU's own default costs every guest more
)
_FIRST_SLOT: Final = 0x10  # on the PCI bus, for network cards: libvirt does not know them and counts from 1
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2

ET.register_namespace("novaflow", METADATA_URI)
ET.register_namespace("qemu", QEMU_URI)


class Owner(Value, frozen=True, kw_only=True):
    """Whose a domain is: this host of this cloud, whose files are below this directory."""

    host: str
    directory: str


class Machine(Value, frozen=True, kw_only=True):
    """How domains are run on this host."""

    virt_type: str  # kvm, qemu or test
    emulator: str  # path; empty lets libvirt choose
    host_cpu: str = "host-passthrough"  # the CPU's mode under kvm
    has_vnc: bool = False


class Paths(Value, frozen=True, kw_only=True):
    """A guest's files; an empty one is not there."""

    console: str
    disk: str = ""  # the qcow2 overlay
    config_drive: str = ""


def domain_name(server_id: str) -> str:
    """The domain's name: `instance-` and eight hex digits, as Nova's instance_name_template makes them."""
    return f"instance-{server_id.replace('-', '')[:8]}"


def build_domain(guest: GuestSpec, paths: Paths, machine: Machine, owner: Owner) -> str:
    """The whole XML. Nothing in it is taken on trust: names are escaped, and what XML cannot hold is replaced."""
    domain = ET.Element("domain", type=machine.virt_type)
    _text(domain, "name", domain_name(guest.server_id))
    _text(domain, "uuid", guest.server_id)
    if guest.name.strip():
        _text(domain, "title", " ".join(guest.name.split()))
    domain.append(_metadata(guest, owner))
    _text(domain, "memory", str(guest.flavor.ram_mb), unit="MiB")
    _text(domain, "vcpu", str(guest.flavor.vcpus))
    domain.append(_boot(guest))
    domain.append(_features(machine))
    if machine.virt_type == "kvm":
        ET.SubElement(domain, "cpu", mode=machine.host_cpu)
    ET.SubElement(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(domain, f"on_{event}", action)
    domain.append(_devices(paths, machine))
    if guest.addresses and machine.virt_type != "test":
        domain.append(_network(guest))
    return ET.tostring(domain, encoding="unicode")


def read_owner(metadata: str) -> Owner | None:
    """The owner in a domain's metadata element, with or without its namespace, which libvirt takes off; None for no XML of ours."""
    try:
        host = ET.fromstring(metadata).find("{*}host")  # noqa: S314 - it is libvirt who answers
    except ET.ParseError:
        return None
    return None if host is None else Owner(host=host.get("name", ""), directory=host.get("directory", ""))


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = _clean(text)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _metadata(guest: GuestSpec, owner: Owner) -> ET.Element:
    metadata = ET.Element("metadata")
    ours = ET.SubElement(metadata, f"{{{METADATA_URI}}}guest")
    for tag, attributes in (
        ("server", {"id": guest.server_id, "name": guest.name}),
        ("flavor", {"id": guest.flavor.id, "name": guest.flavor.name}),
        ("project", {"id": guest.project_id}),
        ("user", {"id": guest.user_id}),
        ("host", {"name": owner.host, "directory": owner.directory}),
    ):
        cleaned = {key: _clean(value) for key, value in attributes.items()}
        ET.SubElement(ours, f"{{{METADATA_URI}}}{tag}", cleaned)
    return metadata


def _boot(guest: GuestSpec) -> ET.Element:
    boot = ET.Element("os")
    _text(boot, "type", "hvm", arch="x86_64", machine="pc")
    if guest.kernel:
        _text(boot, "kernel", guest.kernel)
        if guest.ramdisk:
            _text(boot, "initrd", guest.ramdisk)
        _text(boot, "cmdline", guest.command_line)
    else:
        ET.SubElement(boot, "boot", dev="hd")
    return boot


def _features(machine: Machine) -> ET.Element:
    features = ET.Element("features")
    ET.SubElement(features, "acpi")
    if machine.virt_type == "qemu":
        _text(ET.SubElement(features, "tcg"), "tb-cache", str(TCG_CACHE_MIB), unit="MiB")
    return features


def _devices(paths: Paths, machine: Machine) -> ET.Element:
    devices = ET.Element("devices")
    if machine.emulator:
        _text(devices, "emulator", machine.emulator)
    if paths.disk:
        _disk(devices, paths.disk, "qcow2", "vda")
    if paths.config_drive:
        config = _disk(devices, paths.config_drive, "raw", "vdb")
        ET.SubElement(config, "readonly")
    serial = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(serial, "source", path=paths.console, append="on")
    ET.SubElement(serial, "target", port="0")
    if machine.has_vnc:
        ET.SubElement(devices, "graphics", type="vnc", port="-1", autoport="yes", listen="127.0.0.1")
        ET.SubElement(ET.SubElement(devices, "video"), "model", type="vga")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    return devices


def _disk(devices: ET.Element, path: str, format_: str, target: str) -> ET.Element:
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type=format_, cache="writeback", discard="unmap")
    ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    return disk


def _network(guest: GuestSpec) -> ET.Element:
    """QEMU's user network, one per address, shut off from the host: libvirt has no element that says `restrict`.

    QEMU's own DHCP answers with the server's address. Guests do not reach each other.
    """
    command_line = ET.Element(f"{{{QEMU_URI}}}commandline")
    for number, address in enumerate(guest.addresses):
        netdev = f"user,id=net{number},restrict=on,{_addressing(guest.subnet, address)}"
        device = f"virtio-net-pci,netdev=net{number},id=nic{number},mac={address.mac},addr={_FIRST_SLOT + number:#x}"
        for argument in ("-netdev", netdev, "-device", device):
            ET.SubElement(command_line, f"{{{QEMU_URI}}}arg", value=argument)
    return command_line


def _addressing(subnet: str, address: Address) -> str:
    """The gateway is the subnet's first address; the name server QEMU insists on is put at the far end, out of the way."""
    network = ipaddress.ip_network(subnet)
    if network.version == 6:
        return f"ipv4=off,ipv6=on,ipv6-net={network.with_prefixlen},ipv6-host={network[1]},ipv6-dns={network[-2]}"
    return f"net={network.with_prefixlen},host={network[1]},dns={network[-2]},dhcpstart={address.ip}"
