"""A running guest's domain as another host is to have it: a pure function over two domain XMLs.

What the guest sees stays as it is here, down to the slots of its devices, for it is running and must find them again; what
only the host sees (whose the domain is, files, sockets, screen) is as it is there.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from novaflow.virt.domain_facts import Owner
from novaflow.virt.domain_network import netdevs
from novaflow.virt.domain_xml import METADATA_URI, read_owner
from novaflow.virt.image_facts import Refused


def moved(here: str, there: str) -> str:
    """The XML to send. Raises Refused when the other host has another guest in mind, or lacks a disk that this one has."""
    domain, wanted = ET.fromstring(here), ET.fromstring(there)  # noqa: S314 - libvirt's and ours
    if domain.findtext("uuid") != wanted.findtext("uuid"):
        raise Refused("the destination does not expect this guest")
    if domain.get("type") != wanted.get("type"):
        raise Refused(f"the guest is of type {domain.get('type')}, and the destination runs {wanted.get('type')}")
    for parent, tag in ((".", "metadata"), ("os", "kernel"), ("os", "initrd"), ("devices", "emulator")):
        _take(tag, domain.find(parent), wanted.find(parent))
    _move_network(domain, wanted)
    for label in domain.findall("seclabel"):  # each host has its own
        domain.remove(label)
    devices, others = _devices(domain), _devices(wanted)
    _move_disks(devices, others)
    _move_console(devices, others)
    for tag in ("graphics", "channel"):
        _move_all(tag, devices, others)
    return ET.tostring(domain, encoding="unicode")


def writable_disks(xml: str) -> dict[str, str]:
    """The files that the guest writes to, by their plain names."""
    disks = _devices(ET.fromstring(xml)).iterfind("disk")  # noqa: S314 - libvirt's
    files = [_file(disk) for disk in disks if disk.find("readonly") is None]
    return {Path(file).name: file for file in files if file}


def owner_there(xml: str) -> Owner | None:
    """Whose the domain is to be."""
    guest = ET.fromstring(xml).find(f"metadata/{{{METADATA_URI}}}guest")  # noqa: S314 - ours
    return None if guest is None else read_owner(ET.tostring(guest, encoding="unicode"))


def _devices(domain: ET.Element) -> ET.Element:
    found = domain.find("devices")
    return ET.Element("devices") if found is None else found


def _take(tag: str, parent: ET.Element | None, other: ET.Element | None) -> None:
    """The other's element in the place of ours, where both have one."""
    if parent is None or other is None:
        return
    ours, theirs = parent.find(tag), other.find(tag)
    if ours is not None and theirs is not None:
        parent[list(parent).index(ours)] = theirs


def _move_network(domain: ET.Element, wanted: ET.Element) -> None:
    """What is behind the cards is the other's. Of another kind it cannot be: QEMU sends its own network's state along."""
    for ours, theirs in zip(netdevs(domain), netdevs(wanted), strict=False):
        here, there = ours.get("value", ""), theirs.get("value", "")
        if here.partition(",")[0] != there.partition(",")[0]:
            raise Refused("the destination has another kind of network for it")
        ours.set("value", there)


def _move_disks(devices: ET.Element, others: ET.Element) -> None:
    places = {_kind(disk): _file(disk) for disk in others.iterfind("disk")}
    for disk in devices.iterfind("disk"):
        place = places.get(_kind(disk))
        if not place:
            raise Refused(f"the destination has no such disk {_kind(disk)[0]}")
        for tag in ("source", "backingStore"):
            for element in disk.findall(tag):
                disk.remove(element)
        ET.SubElement(disk, "source", file=place)


def _move_console(devices: ET.Element, others: ET.Element) -> None:
    """The one serial port is shown twice, as `console` as well."""
    log = others.find("serial/source")
    for source in _sources(devices, "serial", "console"):
        if log is not None:
            source.attrib.clear()
            source.attrib.update(log.attrib)


def _move_all(tag: str, devices: ET.Element, others: ET.Element) -> None:
    """Screens and channels: the address that the guest sees stays, the rest is the other's. In the order in which they stand."""
    for ours, theirs in zip(devices.findall(tag), others.findall(tag), strict=False):
        theirs.extend(ours.findall("address"))
        devices[list(devices).index(ours)] = theirs


def _sources(devices: ET.Element, *tags: str) -> Iterator[ET.Element]:
    for tag in tags:
        yield from devices.iterfind(f"{tag}/source")


def _kind(disk: ET.Element) -> tuple[str, bool]:
    """What the guest calls it, and whether it can write to it."""
    target = disk.find("target")
    return "" if target is None else target.get("dev", ""), disk.find("readonly") is None


def _file(disk: ET.Element) -> str:
    source = disk.find("source")
    return "" if source is None else source.get("file", "")
