"""Where the model-based test runs: clouds on hosts that fake their guests, and clouds on libvirt."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from novaflow.virt.domain_xml import METADATA_URI
from tests.support.libvirt import boot_sector, need_libvirt
from tests.support.libvirtd import need_libvirtd

Guests = list[tuple[str, str]]
_PARKED: Final = "_resize"  # the end of the name of what waits whether a resize is confirmed


@dataclass(frozen=True, kw_only=True)
class Place:
    """A kind of cloud. `guests` lists host and server of every guest below its state directory; `lacks` are names of actions."""

    arguments: tuple[str, ...]
    guests: Callable[[Path], Guests]
    need: Callable[[], None] = lambda: None  # skips where it cannot be
    image: bytes = bytes(65536)
    lacks: frozenset[str] = frozenset()
    slowness: int = 1  # so many times fewer lives are tried


def fake_guests(state_dir: Path) -> Guests:
    """By the files in which fake hosts keep them."""
    return sorted((path.parent.parent.name, path.stem) for path in state_dir.glob("compute/*/guests/*.json"))


def libvirt_guests(state_dir: Path) -> Guests:
    """By libvirt's definitions. Whatever has only one of definition and directory is listed as what is wrong with it."""
    defined = {_read(path) for where in _DEFINITIONS for path in state_dir.glob(f"{where}/instance-*.xml")}
    kept = {
        (path.parent.parent.name, path.name)
        for path in state_dir.glob("compute/*/instances/*")
        if not path.name.endswith(_PARKED)
    }
    wrong = [(f"{host} has no files of", server) for host, server in defined - kept]
    wrong += [(f"{host} has no domain for", server) for host, server in kept - defined]
    return sorted(defined & kept) + sorted(wrong)


_DEFINITIONS: Final = ("compute/libvirt/etc/qemu", "libvirtd/*/libvirt/qemu")  # of the embedded one, and of daemons


def _read(path: Path) -> tuple[str, str]:
    domain = ET.fromstring(path.read_text())
    host = domain.find(f"metadata/{{{METADATA_URI}}}guest/{{{METADATA_URI}}}host")
    assert host is not None
    return host.get("name", ""), domain.findtext("uuid", "")


PLACES: Final = {
    "sqlite-in-process": Place(arguments=("--virt", "fake"), guests=fake_guests),
    "mariadb-rabbitmq": Place(
        arguments=("--virt", "fake", "--processes", "--bus", "private", "--db", "private"), guests=fake_guests
    ),
    "libvirt-embedded": Place(
        arguments=("--virt", "qemu:///embed"),
        guests=libvirt_guests,
        need=need_libvirt,
        image=boot_sector(),
        lacks=frozenset({"live migrate"}),  # nobody reaches the libvirt in another process
        slowness=2,
    ),
    "libvirtd-for-each-host": Place(
        arguments=("--virt", "private"), guests=libvirt_guests, need=need_libvirtd, image=boot_sector(), slowness=2
    ),
}
