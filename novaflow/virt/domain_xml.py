"""The domain XML of a guest: a pure function from what is wanted to what libvirt is told.

The metadata element says whose a domain is. A driver asks for it before it touches a domain, so that several
hosts (and several clouds) can share one libvirt and what an administrator made by hand is left alone.
"""

import xml.etree.ElementTree as ET
from typing import Final

from novaflow.virt.domain_devices import devices
from novaflow.virt.domain_facts import Machine, Owner, Paths
from novaflow.virt.domain_network import network
from novaflow.virt.driver import GuestSpec
from novaflow.virt.elements import add_text, clean
from novaflow.virt.hardware import Hardware, read_hardware

METADATA_URI: Final = "urn:novaflow:domain:1"
TCG_CACHE_MIB: Final = (
    32  # of translated code: a Linux boot takes a quarter longer with 16, and QEMU's own default costs every guest more
)

ET.register_namespace("novaflow", METADATA_URI)


def domain_name(server_id: str) -> str:
    """The domain's name: `instance-` and eight hex digits, as Nova's instance_name_template makes them."""
    return f"instance-{server_id.replace('-', '')[:8]}"


def build_domain(guest: GuestSpec, paths: Paths, machine: Machine, owner: Owner) -> str:
    """The whole XML. Nothing in it is taken on trust: names are escaped, and what XML cannot hold is replaced. Raises Refused."""
    hardware = read_hardware(guest.flavor, guest.properties)
    domain = ET.Element("domain", type=machine.virt_type)
    add_text(domain, "name", domain_name(guest.server_id))
    add_text(domain, "uuid", guest.server_id)
    if guest.name.strip():
        add_text(domain, "title", " ".join(guest.name.split()))
    domain.append(_metadata(guest, owner))
    add_text(domain, "memory", str(guest.flavor.ram_mb), unit="MiB")
    add_text(domain, "vcpu", str(guest.flavor.vcpus))
    if hardware.cpu_quotas and machine.has_cgroups:
        domain.append(_cpu_quotas(hardware))
    domain.append(_boot(guest, hardware))
    domain.append(_features(machine))
    if machine.virt_type == "kvm" or hardware.topology:
        domain.append(_cpu(machine, hardware))
    ET.SubElement(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        add_text(domain, f"on_{event}", action)
    domain.append(devices(paths, machine, hardware, guest.server_id))
    if guest.addresses and machine.virt_type != "test":
        domain.append(network(guest, hardware.vif_model, paths.wire))
    return ET.tostring(domain, encoding="unicode")


def read_owner(metadata: str) -> Owner | None:
    """The owner in a domain's metadata element, with or without its namespace, which libvirt takes off; None for no XML of ours."""
    try:
        host = ET.fromstring(metadata).find("{*}host")  # noqa: S314 - it is libvirt who answers
    except ET.ParseError:
        return None
    return None if host is None else Owner(host=host.get("name", ""), directory=host.get("directory", ""))


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
        cleaned = {key: clean(value) for key, value in attributes.items()}
        ET.SubElement(ours, f"{{{METADATA_URI}}}{tag}", cleaned)
    return metadata


def _cpu_quotas(hardware: Hardware) -> ET.Element:
    tune = ET.Element("cputune")
    for name, value in hardware.cpu_quotas.items():
        add_text(tune, name.removeprefix("cpu_"), str(value))
    return tune


def _boot(guest: GuestSpec, hardware: Hardware) -> ET.Element:
    boot = ET.Element("os")
    add_text(boot, "type", "hvm", arch="x86_64", machine=hardware.machine_type)
    if guest.kernel:
        add_text(boot, "kernel", guest.kernel)
        if guest.ramdisk:
            add_text(boot, "initrd", guest.ramdisk)
        add_text(boot, "cmdline", guest.command_line)
    else:
        ET.SubElement(boot, "boot", dev="hd")
    return boot


def _features(machine: Machine) -> ET.Element:
    features = ET.Element("features")
    ET.SubElement(features, "acpi")
    if machine.virt_type == "qemu":
        add_text(ET.SubElement(features, "tcg"), "tb-cache", str(TCG_CACHE_MIB), unit="MiB")
    return features


def _cpu(machine: Machine, hardware: Hardware) -> ET.Element:
    cpu = ET.Element("cpu", {"mode": machine.host_cpu} if machine.virt_type == "kvm" else {})
    layout = hardware.topology
    if layout:
        sizes = {"sockets": str(layout.sockets), "cores": str(layout.cores), "threads": str(layout.threads)}
        ET.SubElement(cpu, "topology", sizes)
    return cpu
