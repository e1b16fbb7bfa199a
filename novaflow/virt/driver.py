"""What a compute host asks of its hypervisor. Every driver passes tests/contract/test_drivers.py.

Every operation is idempotent and named by the server's id, because orders may come twice. A
driver owns the guest's files on this host (overlay disk, config drive, console log) and removes them with the guest. It
never touches a guest that is not its own.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from novaflow.models import Address, Flavor, HostResources, Value
from novaflow.states import Power


class DiskImage(Value, frozen=True, kw_only=True):
    """An image in the host's cache. `format` is what inspection of the bytes found, never what somebody claimed."""

    path: str
    format: str
    size_bytes: int


class GuestSpec(Value, frozen=True, kw_only=True):
    """All that a guest is made of. Either `disk` boots by itself, or `kernel` (with `ramdisk`) is loaded directly."""

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


class GuestState(Value, frozen=True, kw_only=True):
    """One of our guests on this host's hypervisor."""

    server_id: str
    power: Power


class Driver(Protocol):
    """One host's hypervisor."""

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
        """Every guest of ours on this host, running or not."""
        ...

    async def power(self, server_id: str) -> Power:
        """The guest's power state; NOSTATE when there is no such guest."""
        ...

    async def spawn(self, guest: GuestSpec) -> None:
        """Define and start the guest. A guest of that id that is already there is replaced. Raises GuestFailed, leaving nothing."""
        ...

    async def destroy(self, server_id: str) -> None:
        """Stop the guest at once and remove it and its files; fine when there is none."""
        ...

    async def power_on(self, server_id: str) -> None:
        """Start a guest that is off; fine when it runs. Raises GuestFailed."""
        ...

    async def power_off(self, server_id: str, timeout: float) -> None:
        """Ask the guest to power off, pull the plug after `timeout` seconds (0: at once); fine when it is off."""
        ...

    async def reboot(self, server_id: str, *, hard: bool, timeout: float) -> None:
        """Soft: ask the guest to power off, start it again; hard after `timeout`. Hard: power cycle from the definition."""
        ...

    async def console_output(self, server_id: str, max_bytes: int) -> bytes:
        """The end of what the guest wrote to its serial console, over all its boots."""
        ...

    def events(self) -> AsyncIterator[GuestState]:
        """Power states as they change, until `close`. A hint: some may be missed or repeated."""
        ...
