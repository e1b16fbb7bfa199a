"""What every driver, the fake one too, refuses before it touches anything."""

import ipaddress
import os
import re
import uuid
from typing import Final

from novaflow.errors import GuestFailed
from novaflow.virt.driver import GuestSpec
from novaflow.virt.image_facts import Format, Refused, read_header

GIB: Final = 2**30
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_ISO_MAGIC: Final = b"CD001"
_ISO_MAGIC_AT: Final = 16 * 2048 + 1


def check_spec(guest: GuestSpec) -> Format | None:
    """Raises GuestFailed naming the first thing that is wrong with `guest`; answers what its disk's header tells, if it has one."""
    try:
        _check_identity(guest)
        _check_boot(guest)
        _check_addresses(guest)
        found = read_header(guest.disk) if guest.disk else None
        if found:
            check_size(guest, found)
    except Refused as refusal:
        raise GuestFailed(operation="spawn", server_id=guest.server_id, reason=str(refusal)) from None
    return found


def check_size(guest: GuestSpec, found: Format) -> None:
    """Raises Refused when the image does not fit into the flavor's disk; a flavor of 0 GB takes any image."""
    limit = guest.flavor.disk_gb * GIB
    if limit and found.virtual_bytes > limit:
        raise Refused(
            f"the image is {found.virtual_bytes} bytes large inside, flavor {guest.flavor.name} has a disk of {guest.flavor.disk_gb} GB"
        )


def _check_identity(guest: GuestSpec) -> None:
    try:
        canonical = str(uuid.UUID(guest.server_id))
    except ValueError:
        canonical = ""
    if canonical != guest.server_id:
        raise Refused("the server id is not a UUID in canonical form")
    if guest.flavor.vcpus < 1 or guest.flavor.ram_mb < 1 or guest.flavor.disk_gb < 0:
        raise Refused(f"flavor {guest.flavor.name} asks for less than a guest needs")


def _check_boot(guest: GuestSpec) -> None:
    if not guest.disk and not guest.kernel:
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
