"""The devices of a domain, in the order in which the guest sees them."""

import xml.etree.ElementTree as ET
from typing import Final

import msgspec

from novaflow.models import Value
from novaflow.virt.domain_facts import Machine, Paths, VolumeDisk
from novaflow.virt.hardware import Hardware
from novaflow.virt.volume_files import free_device

AGENT: Final = "org.qemu.guest_agent.0"
_LETTERS: Final = "abcdefgh"
_PREFIXES: Final = {"virtio": "vd", "ide": "hd", "scsi": "sd", "sata": "sd"}


class Disk(Value, frozen=True, kw_only=True):
    """A disk as the guest gets it."""

    path: str
    bus: str
    format: str = "qcow2"
    is_readonly: bool = False


def devices(paths: Paths, machine: Machine, hardware: Hardware, server_id: str) -> ET.Element:
    """The whole element."""
    found = ET.Element("devices")
    if machine.emulator:
        ET.SubElement(found, "emulator").text = machine.emulator
    _add_disks(found, _disks(paths, hardware), hardware)
    _add_volumes(found, paths.volumes)
    serial = ET.SubElement(found, "serial", type="file")
    ET.SubElement(serial, "source", path=paths.console, append="on")
    ET.SubElement(serial, "target", port="0")
    if machine.has_vnc and hardware.video_model != "none":
        ET.SubElement(found, "graphics", type="vnc", port="-1", autoport="yes", listen="127.0.0.1")
        ET.SubElement(ET.SubElement(found, "video"), "model", type=hardware.video_model)
    if hardware.has_agent:
        found.append(_agent(machine, server_id))
    if hardware.has_rng:
        found.append(_rng(hardware))
    if hardware.watchdog:
        ET.SubElement(found, "watchdog", model="i6300esb", action=hardware.watchdog)
    ET.SubElement(found, "controller", type="usb", model="none")
    ET.SubElement(found, "memballoon", model="none")
    return found


def volume_disk(volume: VolumeDisk) -> ET.Element:
    """The element of a volume, named in the guest as Nova does it: its serial number is the volume's id."""
    element = _disk(Disk(path=volume.path, bus="virtio"), volume.device)
    ET.SubElement(element, "serial").text = volume.volume_id
    return element


def _add_volumes(parent: ET.Element, volumes: tuple[VolumeDisk, ...]) -> None:
    """A guest that is made anew may have more disks of its own: they come first."""
    taken = {target.get("dev", "") for target in parent.iterfind("disk/target")}
    for volume in volumes:
        device = free_device(volume.device, taken)
        taken.add(device)
        parent.append(volume_disk(msgspec.structs.replace(volume, device=device)))


def _disks(paths: Paths, hardware: Hardware) -> list[Disk]:
    """Root, the own root of a rescued guest, ephemeral, swap; the config drive comes last, so that it moves no other."""
    writable = (
        (paths.disk, hardware.disk_bus),
        (paths.own_disk, paths.own_bus),
        (paths.ephemeral, hardware.disk_bus),
        (paths.swap, hardware.disk_bus),
    )
    disks = [Disk(path=path, bus=bus) for path, bus in writable if path]
    if paths.config_drive:
        disks.append(Disk(path=paths.config_drive, bus=hardware.disk_bus, format="raw", is_readonly=True))
    return disks


def _add_disks(parent: ET.Element, disks: list[Disk], hardware: Hardware) -> None:
    taken: dict[str, int] = {}
    for disk in disks:
        prefix = _PREFIXES[disk.bus]
        target = prefix + _LETTERS[taken.get(prefix, 0)]
        taken[prefix] = taken.get(prefix, 0) + 1
        _add_disk(parent, disk, target, {} if disk.is_readonly else hardware.disk_quotas)
    if hardware.scsi_model and any(disk.bus == "scsi" for disk in disks):
        ET.SubElement(parent, "controller", type="scsi", index="0", model=hardware.scsi_model)


def _add_disk(parent: ET.Element, disk: Disk, target: str, quotas: dict[str, int]) -> None:
    element = _disk(disk, target)
    parent.append(element)
    if quotas:
        tune = ET.SubElement(element, "iotune")
        for name, value in quotas.items():
            ET.SubElement(tune, name.removeprefix("disk_")).text = str(value)
    if disk.is_readonly:
        ET.SubElement(element, "readonly")


def _disk(disk: Disk, target: str) -> ET.Element:
    element = ET.Element("disk", type="file", device="disk")
    ET.SubElement(element, "driver", name="qemu", type=disk.format, cache="writeback", discard="unmap")
    ET.SubElement(element, "source", file=disk.path)
    ET.SubElement(element, "target", dev=target, bus=disk.bus)
    return element


def _agent(machine: Machine, server_id: str) -> ET.Element:
    """The guest's agent answers at the other end. libvirt's own choice of a path would be too long below most directories."""
    channel = ET.Element("channel", type="unix")
    if machine.agent_directory:
        ET.SubElement(channel, "source", mode="bind", path=f"{machine.agent_directory}/{server_id}")
    ET.SubElement(channel, "target", type="virtio", name=AGENT)
    return channel


def _rng(hardware: Hardware) -> ET.Element:
    rng = ET.Element("rng", model="virtio")
    if hardware.rng_bytes:
        ET.SubElement(rng, "rate", bytes=str(hardware.rng_bytes), period=str(hardware.rng_period))
    ET.SubElement(rng, "backend", model="random").text = "/dev/urandom"
    return rng
