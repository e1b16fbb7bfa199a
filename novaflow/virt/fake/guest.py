"""One fake guest as its file has it, and how it changes: values in, values out."""

import re
from typing import Final

import msgspec

from novaflow.models import Value
from novaflow.states import Power
from novaflow.virt.checks import GIB
from novaflow.virt.driver import GuestSpec
from novaflow.virt.hardware import read_hardware

MIB: Final = 2**20
DISKS: Final = ("disk", "ephemeral", "swap")
_HOSTNAME: Final = re.compile(rb'"hostname": ?"([^"\\]*)"')
_TEXT_KEPT: Final = 65536  # characters of a console


class Memory(Value, frozen=True, kw_only=True):
    """What a guest knows by heart: lost when it is switched off, kept when it is paused, saved or moved while it runs."""

    boot_id: str = ""  # a new one at every boot
    counter: int = 0  # how often it went on since: after a pause, after a save, on another host


class Rescue(Value, frozen=True, kw_only=True):
    """The system that is in the guest's place."""

    hostname: str
    content: str = ""  # of its disk; empty for one that needs none


class FakeGuest(Value, frozen=True, kw_only=True):
    """One guest. `content` stands for all that is on its root disk: a fresh disk has a fresh one."""

    server_id: str
    name: str
    hostname: str
    power: Power
    boots: int = 1
    console: str = ""
    vcpus: int = 1
    ram_mb: int = 0
    disks: dict[str, int] = msgspec.field(default_factory=dict)  # virtual bytes by file name, of DISKS
    content: str = ""
    memory: Memory = Memory()
    is_saved: bool = False
    rescue: Rescue | None = None
    macs: tuple[str, ...] = ()
    has_config_drive: bool = False
    has_agent: bool = False
    has_screen: bool = True
    passwords_set_for: tuple[str, ...] = ()  # users; the passwords are nowhere
    interrupts: int = 0  # that could not be masked

    @property
    def is_on(self) -> bool:
        """Is there a machine, running or paused?"""
        return self.power in {Power.RUNNING, Power.PAUSED}

    @property
    def drives(self) -> dict[str, str]:
        """The contents of the root disks it sees, by device: in a rescue its own is the second one."""
        shown = [self.rescue.content] if self.rescue and self.rescue.content else []
        shown += [self.content] if self.content else []
        return dict(zip(("vda", "vdb"), shown, strict=False))


def made(spec: GuestSpec, *, content: str, disk_bytes: int) -> FakeGuest:
    """A guest as `spec` wants it, that has not been started yet. `disk_bytes` is its root disk's size; 0: it has none."""
    hardware = read_hardware(spec.flavor, spec.properties)
    sizes = (disk_bytes, spec.flavor.ephemeral_gb * GIB, spec.flavor.swap_mb * MIB)
    return FakeGuest(
        server_id=spec.server_id,
        name=spec.name,
        hostname=hostname_of(spec),
        power=Power.SHUTDOWN,
        boots=0,
        vcpus=spec.flavor.vcpus,
        ram_mb=spec.flavor.ram_mb,
        disks={name: size for name, size in zip(DISKS, sizes, strict=True) if size},
        content=content,
        macs=tuple(address.mac for address in spec.addresses),
        has_config_drive=bool(spec.config_drive),
        has_agent=hardware.has_agent,
        has_screen=hardware.video_model != "none",
    )


def hostname_of(spec: GuestSpec) -> str:
    """The name that the config drive gives; the guest's own where there is none."""
    drive = spec.config_drive
    named = _HOSTNAME.search(drive, max(0, drive.find(b'"hostname"')))
    return named.group(1).decode(errors="replace") if named else spec.name


def booted(guest: FakeGuest, boot_id: str) -> FakeGuest:
    """Started from its disk, or from the rescue system's: whatever was in its memory is gone."""
    hostname = guest.rescue.hostname if guest.rescue else guest.hostname
    lines = [
        f"instance-id {guest.server_id}",
        f"hostname {hostname}",
        f"boot {guest.boots + 1}",
        *(["rescue system"] if guest.rescue else []),
        "ready",
    ]
    return msgspec.structs.replace(
        saying(guest, *lines),
        power=Power.RUNNING,
        boots=guest.boots + 1,
        memory=Memory(boot_id=boot_id),
        is_saved=False,
    )


def halted(guest: FakeGuest) -> FakeGuest:
    """Off, and its memory gone."""
    return msgspec.structs.replace(guest, power=Power.SHUTDOWN, memory=Memory(), is_saved=False)


def paused(guest: FakeGuest) -> FakeGuest:
    """Its processors stand still."""
    return msgspec.structs.replace(guest, power=Power.PAUSED)


def saved(guest: FakeGuest) -> FakeGuest:
    """Off, and its memory on the host's disk."""
    return msgspec.structs.replace(guest, power=Power.SHUTDOWN, is_saved=True)


def went_on(guest: FakeGuest) -> FakeGuest:
    """Running with the memory it had."""
    memory = msgspec.structs.replace(guest.memory, counter=guest.memory.counter + 1)
    return msgspec.structs.replace(guest, power=Power.RUNNING, memory=memory, is_saved=False)


def saying(guest: FakeGuest, *lines: str) -> FakeGuest:
    """With these lines on its console."""
    said = "".join(f"novaflow fake guest: {line}\n" for line in lines)
    return msgspec.structs.replace(guest, console=(guest.console + said)[-_TEXT_KEPT:])
