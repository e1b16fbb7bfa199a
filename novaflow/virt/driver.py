"""What a compute host asks of its hypervisor. Every driver passes tests/contract/test_drivers*.py.

Every operation is idempotent and named by the server's id, because orders may come twice. A
driver owns the guest's files on this host (disks, config drive, console log) and removes them with the guest. It
never touches a guest that is not its own.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import msgspec

from novaflow.hosts import HostResources
from novaflow.models import Address, Flavor, Value
from novaflow.states import Power


class DiskImage(Value, frozen=True, kw_only=True):
    """An image in the host's cache. `format` is what inspection of the bytes found, never what somebody claimed."""

    path: str
    format: str
    size_bytes: int


class BootSource(Value, frozen=True, kw_only=True):
    """What a guest boots from: either `disk` boots by itself, or `kernel` (with `ramdisk`) is loaded directly.

    `properties` are that image's: they say of what kind the devices are while it runs.
    """

    disk: DiskImage | None = None
    kernel: str = ""  # paths
    ramdisk: str = ""
    command_line: str = ""
    properties: dict[str, str] = msgspec.field(default_factory=dict)


class StoredVolume(Value, frozen=True, kw_only=True):
    """A volume whose file is on this host, and the guest that has it as `device` (vdb); empty: nobody has it."""

    volume_id: str
    server_id: str = ""
    device: str = ""


class GuestSpec(Value, frozen=True, kw_only=True):
    """All that a guest is made of. Either `disk` boots by itself, or `kernel` (with `ramdisk`) is loaded directly.

    The guest gets what `flavor` says: vCPUs, memory, a root disk of disk_gb (0: of the image's size), an ephemeral disk and a swap
    disk where the flavor has them. `properties` are the image's (hw_*), which say of what kind its devices are.
    """

    server_id: str
    name: str
    project_id: str
    user_id: str
    flavor: Flavor
    disk: DiskImage | None = None
    kernel: str = ""  # paths
    ramdisk: str = ""
    command_line: str = ""
    config_drive: bytes = b""  # an ISO 9660 image
    addresses: tuple[Address, ...] = ()
    subnet: str = "10.0.0.0/16"  # of the addresses; the network section's cidr
    properties: dict[str, str] = msgspec.field(default_factory=dict)
    volumes: tuple[StoredVolume, ...] = ()  # that it gets when it is spawned, beside those it has; their files are here


class GuestState(Value, frozen=True, kw_only=True):
    """One of our guests on this host's hypervisor."""

    server_id: str
    power: Power


class GuestFile(Value, frozen=True, kw_only=True):
    """One file of a guest that moves to another host. `name` is a plain file name and says what it is: disk, ephemeral, console.log."""

    name: str
    path: str


class Incoming(Value, frozen=True, kw_only=True):
    """Where a live migration goes: made by the destination's driver, opaque to everybody but the source's driver."""

    kind: str  # the driver's: fake or libvirt
    uri: str  # how the source reaches the destination's hypervisor
    xml: str = ""  # the domain as the destination wants it
    address: str = ""  # where its memory and disks are sent


class Console(Value, frozen=True, kw_only=True):
    """Where the guest's screen is served."""

    host: str
    port: int


class Diagnostics(Value, frozen=True, kw_only=True):
    """What the hypervisor counts of a running guest. Times in nanoseconds, memory in KiB, sizes in bytes; -1: not known."""

    state: str  # Nova's names: pending, running, paused, shutdown, crashed, suspended
    driver: str
    hypervisor: str
    uptime_seconds: int = -1
    vcpus: int = 0
    cpu_time_ns: int = -1
    memory_maximum_kib: int = -1
    memory_used_kib: int = -1
    # By target: read_bytes, read_requests, write_bytes, write_requests, errors_count.
    disks: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    # By MAC: rx_octets, rx_packets, rx_errors, rx_drop, tx_...
    nics: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    has_config_drive: bool = False


class Driver(Protocol):
    """One host's hypervisor. What it refuses or cannot do is GuestFailed, with the operation's name and one sentence why."""

    async def open(self) -> None:
        """Connect and prepare; raises GuestFailed with operation `open` and what is missing."""
        ...

    async def close(self) -> None:
        """Disconnect. Guests go on running."""
        ...

    async def resources(self) -> HostResources:
        """What this host has."""
        ...

    async def guests(self) -> list[GuestState]:
        """Every guest of ours on this host, running or not; not the parked ones."""
        ...

    async def leftovers(self) -> list[str]:
        """The ids under which files are here that belong to no guest, parked or not: what a crash left, or what is just being made."""
        ...

    async def power(self, server_id: str) -> Power:
        """The guest's power state; NOSTATE when there is no such guest. A guest whose memory is saved is SHUTDOWN."""
        ...

    async def spawn(self, guest: GuestSpec) -> None:
        """Define and start the guest. A guest of that id that is already there is replaced. Raises GuestFailed, leaving nothing."""
        ...

    async def destroy(self, server_id: str) -> None:
        """Stop the guest at once and remove it and its files, parked ones too; fine when there is none."""
        ...

    async def power_on(self, server_id: str) -> None:
        """Start a guest that is off; fine when it runs. Raises GuestFailed."""
        ...

    async def power_off(self, server_id: str, timeout: float) -> None:
        """Ask the guest to power off, pull the plug after `timeout` seconds (0: at once); fine when it is off.

        A paused guest is not asked: it cannot answer. Saved memory is forgotten.
        """
        ...

    async def reboot(self, server_id: str, *, hard: bool, timeout: float) -> None:
        """Soft: ask the guest to power off, start it again; hard after `timeout`. Hard: power cycle from the definition.

        A hard reboot works from every power state, and forgets saved memory.
        """
        ...

    # The guest's memory.

    async def pause(self, server_id: str) -> None:
        """Stop the guest's processors; fine when they are. Raises GuestFailed when it is off."""
        ...

    async def unpause(self, server_id: str) -> None:
        """Let the processors go on; fine when they do. Raises GuestFailed when it is off."""
        ...

    async def suspend(self, server_id: str) -> None:
        """Save the guest's memory to disk and switch it off; fine when it is saved. Raises GuestFailed when it is off."""
        ...

    async def resume(self, server_id: str) -> None:
        """Start the guest with the memory that was saved; fine when it runs. One without saved memory boots."""
        ...

    # Another system in the guest's place.

    async def rescue(self, guest: GuestSpec, source: BootSource) -> None:
        """Boot `source` in the guest's place, with the guest's own root disk as the second disk (vdb).

        `guest` is as for spawn, with the config drive of the rescue system. The own system is kept as it is.
        A guest that is rescued already is rescued anew. Raises GuestFailed, leaving the guest off and unrescued.
        """
        ...

    async def unrescue(self, server_id: str) -> None:
        """Boot the guest's own system again and remove what the rescue had; fine when it is not rescued: then it runs."""
        ...

    # Images of the guest.

    async def snapshot(self, server_id: str, path: Path) -> None:
        """Write the root disk as it is now to `path`, a qcow2 file that stands alone. A running guest goes on.

        Works on running, paused, saved and stopped guests. Cancelled or failed, it leaves no file and the guest as it was.
        """
        ...

    # Moving to another host (or another flavor) while off.

    async def park(self, server_id: str) -> None:
        """Take a guest that is off aside, with all its files: it is no guest any more until `unpark`. Fine when it is parked.

        Raises GuestFailed when it runs, or when there is none.
        """
        ...

    async def parked(self) -> list[str]:
        """The ids of parked guests."""
        ...

    async def parked_files(self, server_id: str) -> list[GuestFile]:
        """What another host needs of a parked guest, each file complete in itself. Raises GuestFailed."""
        ...

    async def adopt(self, guest: GuestSpec, files: list[GuestFile], *, is_running: bool) -> None:
        """Make the guest from the files of another host, with the flavor that `guest` has now: a disk never shrinks.

        The files are taken (moved). Otherwise as `spawn`; with `is_running` False it is defined and off.
        """
        ...

    async def unpark(self, server_id: str, *, is_running: bool) -> None:
        """Make a parked guest a guest again, as it was. A guest of that id that is here is removed first. Raises GuestFailed."""
        ...

    async def forget_parked(self, server_id: str) -> None:
        """Remove a parked guest and its files, and nothing of a guest of that id that is not parked; fine when there is none."""
        ...

    # Moving to another host while running.

    async def prepare_incoming(self, guest: GuestSpec, disk_bytes: dict[str, int]) -> Incoming:
        """Make ready for a guest that comes with its memory: its directory, and empty disks of these sizes by file name.

        Raises GuestFailed, leaving nothing; also where this hypervisor can be reached by no other.
        """
        ...

    async def disk_sizes(self, server_id: str) -> dict[str, int]:
        """The virtual size in bytes of the guest's writable disks, by file name (disk, ephemeral, swap)."""
        ...

    async def migrate(self, server_id: str, incoming: Incoming) -> None:
        """Move the running (or paused) guest there with its memory and disks. Then it is no guest of this host, and its files here are gone.

        Raises GuestFailed with the guest going on here. Cancelled, it is aborted the same way where that is still possible.
        """
        ...

    async def force_complete(self, server_id: str) -> None:
        """Have a guest that is being migrated arrive, however fast it changes: it stands still until it is there, or here again.

        Raises GuestFailed when it is not being migrated (any more).
        """
        ...

    async def finish_incoming(self, server_id: str) -> None:
        """The guest has come: keep it. Fine when it is kept; raises GuestFailed when it has not come."""
        ...

    # Volumes: disks that outlive the guests. Only the host that keeps a volume's file can give it to a guest.

    async def volumes(self) -> list[StoredVolume]:
        """Every volume on this host."""
        ...

    async def make_volume(self, volume_id: str, size_gb: int, snapshot_id: str = "") -> None:
        """Make an empty volume, or one with what a snapshot of this host holds; fine when there is one of that id. Raises GuestFailed."""
        ...

    async def remove_volume(self, volume_id: str) -> None:
        """Remove a volume; fine when there is none. Raises GuestFailed when a guest has it."""
        ...

    async def attach_volume(self, server_id: str, volume_id: str, device: str) -> str:
        """Give a guest the volume as a virtio disk, at once when it runs; answers the device (vdb), which is `device` where that is free.

        The guest keeps it over every stop, start and reboot, also when it is spawned again, until it is destroyed. Fine when it
        has it. Raises GuestFailed, leaving it without, also when another guest has the volume.
        """
        ...

    async def detach_volume(self, server_id: str, volume_id: str, timeout: float) -> None:
        """Take the volume from the guest; fine when it does not have it, or there is no such guest.

        A guest that runs is asked. One that has not let go after `timeout` seconds keeps it: GuestFailed.
        """
        ...

    async def volume_snapshots(self) -> list[str]:
        """The ids of the snapshots of volumes on this host."""
        ...

    async def snapshot_volume(self, volume_id: str, snapshot_id: str) -> None:
        """Keep what is on a volume now, also while a guest writes to it; fine when there is a snapshot of that id. Raises GuestFailed.

        Whoever would give a guest a volume that nobody had waits until it is copied.
        """
        ...

    async def remove_volume_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot; fine when there is none. Volumes that were made of it stay."""
        ...

    # Looking at the guest.

    async def console_output(self, server_id: str, max_bytes: int) -> bytes:
        """The end of what the guest wrote to its serial console, over all its boots."""
        ...

    async def console(self, server_id: str) -> Console:
        """Where its screen is served by VNC; raises GuestFailed when it is off or has none."""
        ...

    async def screenshot(self, server_id: str) -> bytes:
        """Its screen, as a PNG; raises GuestFailed when it is off or has none."""
        ...

    async def diagnostics(self, server_id: str) -> Diagnostics:
        """What is counted of it; raises GuestFailed when it is off."""
        ...

    async def set_password(self, server_id: str, user: str, password: str) -> None:
        """By the guest's agent; raises GuestFailed when the guest has none. The password shows in no error."""
        ...

    async def inject_nmi(self, server_id: str) -> None:
        """Have the guest's kernel crash and dump; raises GuestFailed when it is off."""
        ...

    def events(self) -> AsyncIterator[GuestState]:
        """Power states as they change, until `close`. A hint: some may be missed or repeated."""
        ...
