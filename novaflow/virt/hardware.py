"""Of what kind a guest's devices are: read from the image's properties (hw_*) and the flavor's extra specs.

A name that nobody knows is somebody else's and left alone; a value that nobody knows is refused, by every driver alike. Where
both may speak, the flavor is the operator's and has the word, but for the watchdog, as in Nova.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from novaflow.models import Flavor, Value
from novaflow.virt.image_facts import Refused
from novaflow.virt.topology import Topology, choose_topology

DISK_BUSES: Final = ("virtio", "ide", "scsi", "sata")
SCSI_MODELS: Final = ("virtio-scsi", "lsilogic", "lsisas1068", "lsisas1078")
VIF_MODELS: Final = {
    "virtio": "virtio-net-pci",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "rtl8139": "rtl8139",
    "pcnet": "pcnet",
    "ne2k_pci": "ne2k_pci",
    "vmxnet3": "vmxnet3",
}
"""hw_vif_model, and QEMU's device."""

VIDEO_MODELS: Final = ("vga", "cirrus", "vmvga", "qxl", "virtio", "bochs", "none")
WATCHDOG_ACTIONS: Final = ("disabled", "reset", "poweroff", "pause", "none")
CPU_QUOTAS: Final = ("cpu_shares", "cpu_period", "cpu_quota")
DISK_QUOTAS: Final = (
    "disk_read_bytes_sec", "disk_read_iops_sec", "disk_write_bytes_sec", "disk_write_iops_sec",
    "disk_total_bytes_sec", "disk_total_iops_sec",
)  # fmt: skip
_MACHINES: Final = re.compile(r"pc|q35|pc-(?:i440fx|q35)-\d+\.\d+")
_YES: Final = ("1", "t", "true", "on", "y", "yes")
_NO: Final = ("0", "f", "false", "off", "n", "no")


class Hardware(Value, frozen=True, kw_only=True):
    """A guest's devices. Quotas are by Nova's name without `quota:`."""

    machine_type: str = "pc"
    disk_bus: str = "virtio"
    scsi_model: str = ""  # empty: libvirt's choice
    vif_model: str = "virtio"
    video_model: str = "vga"
    topology: Topology | None = None
    has_rng: bool = False
    rng_bytes: int = 0  # per rng_period; 0: as many as the guest likes
    rng_period: int = 1000  # milliseconds
    watchdog: str = ""  # what it does; empty: there is none
    has_agent: bool = False
    cpu_quotas: dict[str, int] = msgspec.field(default_factory=dict)
    disk_quotas: dict[str, int] = msgspec.field(default_factory=dict)


def read_hardware(flavor: Flavor, properties: Mapping[str, str]) -> Hardware:
    """Raises Refused naming the first value that is unknown."""
    specs = flavor.extra_specs
    machine_type = properties.get("hw_machine_type", "pc")
    if not _MACHINES.fullmatch(machine_type):
        raise Refused(f"hw_machine_type {machine_type!r} is neither pc nor q35")
    disk_bus = _choice(properties, "hw_disk_bus", DISK_BUSES, "virtio")
    if disk_bus == "ide" and "q35" in machine_type:
        raise Refused("hw_disk_bus 'ide' does not go with hw_machine_type q35")
    has_rng = bool(_choice(properties, "hw_rng_model", ("virtio",), "")) and _is_yes(specs, "hw_rng:allowed", "yes")
    return Hardware(
        machine_type=machine_type,
        disk_bus=disk_bus,
        scsi_model=_choice(properties, "hw_scsi_model", SCSI_MODELS, ""),
        vif_model=_choice(properties, "hw_vif_model", tuple(VIF_MODELS), "virtio"),
        video_model=_choice(properties, "hw_video_model", VIDEO_MODELS, "vga"),
        topology=_topology(flavor, properties),
        has_rng=has_rng,
        rng_bytes=_number(specs, "hw_rng:rate_bytes", 0),
        rng_period=_number(specs, "hw_rng:rate_period", 1000),
        watchdog=_watchdog(specs, properties),
        has_agent=_is_yes(properties, "hw_qemu_guest_agent", "no"),
        cpu_quotas=_quotas(specs, CPU_QUOTAS),
        disk_quotas=_quotas(specs, DISK_QUOTAS),
    )


def _topology(flavor: Flavor, properties: Mapping[str, str]) -> Topology | None:
    """None when nobody says anything."""
    specs, parts = flavor.extra_specs, ("sockets", "cores", "threads")
    limit = Topology(**{
        part: _number(specs, f"hw:cpu_max_{part}", _number(properties, f"hw_cpu_max_{part}", 0)) for part in parts
    })  # fmt: skip
    by_flavor = Topology(**{part: _number(specs, f"hw:cpu_{part}", 0) for part in parts})
    by_image = Topology(**{part: _number(properties, f"hw_cpu_{part}", 0) for part in parts})
    wish = by_image if by_flavor.is_open else by_flavor
    return None if wish.is_open and limit.is_open else choose_topology(flavor.vcpus, wish, limit)


def _watchdog(specs: Mapping[str, str], properties: Mapping[str, str]) -> str:
    by_flavor = _choice(specs, "hw:watchdog_action", WATCHDOG_ACTIONS, "disabled")
    action = _choice(properties, "hw_watchdog_action", WATCHDOG_ACTIONS, by_flavor)
    return "" if action == "disabled" else action


def _quotas(specs: Mapping[str, str], names: tuple[str, ...]) -> dict[str, int]:
    return {name: _number(specs, f"quota:{name}", 0) for name in names if f"quota:{name}" in specs}


def _choice(said: Mapping[str, str], name: str, known: tuple[str, ...], default: str) -> str:
    value = said.get(name, default)
    if value != default and value not in known:
        raise Refused(f"{name} {value!r} is not one of {', '.join(known)}")
    return value


def _number(said: Mapping[str, str], name: str, default: int) -> int:
    value = said.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and 0 < int(value) < 2**63):
        raise Refused(f"{name} {value!r} is not a positive whole number")
    return int(value)


def _is_yes(said: Mapping[str, str], name: str, default: str) -> bool:
    value = said.get(name, default).lower()
    if value not in _YES + _NO:
        raise Refused(f"{name} {value!r} is neither yes nor no")
    return value in _YES
