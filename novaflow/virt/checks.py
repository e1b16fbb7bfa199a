"""What every driver, the fake one too, refuses before it touches anything."""

import ipaddress
import os
import re
import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

from novaflow.errors import GuestFailed
from novaflow.virt.driver import BootSource, DiskImage, GuestFile, GuestSpec
from novaflow.virt.hardware import read_hardware
from novaflow.virt.image_facts import Format, Refused, read_header

GIB: Final = 2**30
MOVED_FILES: Final = ("disk", "ephemeral", "console.log")
"""The names of what moves with a guest from host to host. Swap does not: it is made anew."""

_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
LIVE_DISKS: Final = ("disk", "ephemeral", "swap")
"""The names of what moves with a guest that runs."""

_ISO_MAGIC: Final = b"CD001"
_ISO_MAGIC_AT: Final = 16 * 2048 + 1


def check_spec(guest: GuestSpec) -> Format | None:
    """Raises GuestFailed naming the first thing that is wrong with `guest`; answers what its disk's header tells, if it has one."""
    try:
        found = _check_all(guest)
        if found:
            check_size(guest, found)
    except Refused as refusal:
        raise GuestFailed(operation="spawn", server_id=guest.server_id, reason=str(refusal)) from None
    return found


def check_rescue(guest: GuestSpec, source: BootSource) -> Format | None:
    """Raises GuestFailed when `source` cannot boot in the guest's place. Its disk may be larger than the flavor's."""
    try:
        read_hardware(guest.flavor, guest.properties)
        return _check_all(with_source(guest, source))
    except Refused as refusal:
        raise GuestFailed(operation="rescue", server_id=guest.server_id, reason=str(refusal)) from None


def check_adoption(guest: GuestSpec, files: list[GuestFile]) -> Format | None:
    """Raises GuestFailed when the guest cannot be made of these files. Its disk may be larger than the flavor's: it is kept so."""
    try:
        for file in files:
            _check_file(file)
        disk = next((file.path for file in files if file.name == "disk"), "")
        image = DiskImage(path=disk, format="qcow2", size_bytes=os.path.getsize(disk)) if disk else None
        return _check_all(msgspec.structs.replace(guest, disk=image))
    except Refused as refusal:
        raise GuestFailed(operation="adopt", server_id=guest.server_id, reason=str(refusal)) from None


def check_arrival(guest: GuestSpec, disk_bytes: Mapping[str, int]) -> None:
    """Raises GuestFailed when the guest cannot come with disks of these sizes. What it booted from need not be here."""
    try:
        _check_names(disk_bytes)
        _check_all(msgspec.structs.replace(guest, disk=None), brings_disk="disk" in disk_bytes)
    except Refused as refusal:
        raise GuestFailed(operation="prepare_incoming", server_id=guest.server_id, reason=str(refusal)) from None


def _check_names(disk_bytes: Mapping[str, int]) -> None:
    unknown = sorted(disk_bytes.keys() - set(LIVE_DISKS))
    if unknown:
        raise Refused(f"no guest has a disk {unknown[0]!r}: it is {', '.join(LIVE_DISKS)}")


def with_source(guest: GuestSpec, source: BootSource) -> GuestSpec:
    """The guest as it is while `source` runs in its place."""
    boots = {name: getattr(source, name) for name in source.__struct_fields__}
    return msgspec.structs.replace(guest, **boots)


def check_size(guest: GuestSpec, found: Format) -> None:
    """Raises Refused when the image does not fit into the flavor's disk; a flavor of 0 GB takes any image."""
    limit = guest.flavor.disk_gb * GIB
    if limit and found.virtual_bytes > limit:
        raise Refused(
            f"the image is {found.virtual_bytes} bytes large inside, flavor {guest.flavor.name} has a disk of {guest.flavor.disk_gb} GB"
        )


def _check_all(guest: GuestSpec, *, brings_disk: bool = False) -> Format | None:
    _check_identity(guest)
    _check_boot(guest, brings_disk=brings_disk)
    _check_addresses(guest)
    read_hardware(guest.flavor, guest.properties)
    return read_header(guest.disk) if guest.disk else None


def _check_file(file: GuestFile) -> None:
    if file.name not in MOVED_FILES:
        raise Refused(f"no guest has a file {file.name!r}: it is {', '.join(MOVED_FILES)}")
    if not os.path.isfile(file.path):
        raise Refused(f"{file.name} {file.path} is not a file")
    if file.name == "ephemeral":
        read_header(DiskImage(path=file.path, format="qcow2", size_bytes=0))


def _check_identity(guest: GuestSpec) -> None:
    try:
        canonical = str(uuid.UUID(guest.server_id))
    except ValueError:
        canonical = ""
    if canonical != guest.server_id:
        raise Refused("the server id is not a UUID in canonical form")
    sizes = (guest.flavor.disk_gb, guest.flavor.ephemeral_gb, guest.flavor.swap_mb)
    if guest.flavor.vcpus < 1 or guest.flavor.ram_mb < 1 or min(sizes) < 0:
        raise Refused(f"flavor {guest.flavor.name} asks for less than a guest needs")


def _check_boot(guest: GuestSpec, *, brings_disk: bool) -> None:
    if not (guest.disk or brings_disk or guest.kernel):
        raise Refused("there is neither a disk nor a kernel to boot from")
    if (guest.ramdisk or guest.command_line) and not guest.kernel:
        raise Refused("a ramdisk or a command line needs a kernel")
    paths = {"disk image": guest.disk.path if guest.disk else "", "kernel": guest.kernel, "ramdisk": guest.ramdisk}
    for what, path in paths.items():
        if path and not (os.path.isabs(path) and os.path.isfile(path)):
            raise Refused(f"{what} {path} is not a file with an absolute path")
    if guest.config_drive and guest.config_drive[_ISO_MAGIC_AT : _ISO_MAGIC_AT + 5] != _ISO_MAGIC:
        raise Refused("the config drive is not an ISO 9660 image")


def _check_addresses(guest: GuestSpec) -> None:
    for address in guest.addresses:
        if not _MAC.fullmatch(address.mac):
            raise Refused(f"{address.mac!r} is not a MAC address")
        try:
            inside = ipaddress.ip_address(address.ip) in ipaddress.ip_network(guest.subnet)
        except ValueError as error:
            raise Refused(f"address of network {address.network}: {error}") from None
        if not inside:
            raise Refused(f"address {address.ip} is not in the subnet {guest.subnet}")
