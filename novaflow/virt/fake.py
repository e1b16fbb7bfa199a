"""A hypervisor that is none: guests are small files, and as strict as the real thing.

Its guests outlive the process, as QEMU outlives novaflow, because each is one file below the driver's directory that
is replaced atomically. It refuses what the libvirt driver refuses (novaflow.virt.checks) and passes the same contract tests, so that
whatever works on it works on libvirt; what it saves is the time and memory of a real guest.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from novaflow.errors import GuestFailed
from novaflow.models import HostResources, Value
from novaflow.states import Power
from novaflow.virt.checks import check_spec
from novaflow.virt.driver import GuestSpec, GuestState
from novaflow.virt.events import PowerEvents
from novaflow.virt.locks import GuestLocks

Before = Callable[[str, str], Awaitable[None]]
"""Awaited with (operation, server id) before the driver does anything; may wait, or raise GuestFailed."""

_HOSTNAME: Final = re.compile(rb'"hostname": ?"([^"\\]*)"')
_TEXT_KEPT: Final = 65536  # characters of a console


class FakeDelays(Value, frozen=True, kw_only=True):
    """Seconds that the operations take, for experiments."""

    spawn: float = 0.0
    destroy: float = 0.0
    power_on: float = 0.0
    power_off: float = 0.0


class FakeGuest(Value, frozen=True, kw_only=True):
    """One guest as its file has it."""

    server_id: str
    name: str
    hostname: str
    power: Power
    boots: int = 1
    console: str = ""


class FakeDriver:
    """Driver over a directory of its own. `answers_power_button` is False for guests that ignore being asked."""

    def __init__(
        self,
        directory: Path,
        resources: HostResources,
        *,
        delays: FakeDelays | None = None,
        before: Before | None = None,
        answers_power_button: bool = True,
    ) -> None:
        self._directory = directory / "guests"
        self._resources = resources
        self._delays = delays or FakeDelays()
        self._before = before
        self._answers = answers_power_button
        self._guests: dict[str, FakeGuest] = {}
        self._events = PowerEvents()
        self._locks = GuestLocks()

    async def open(self) -> None:
        """Find the guests that an earlier process left running."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            files = sorted(self._directory.glob("*.json"))
            self._guests = {file.stem: msgspec.json.decode(file.read_bytes(), type=FakeGuest) for file in files}
        except (OSError, msgspec.DecodeError) as error:
            host = self._resources.hypervisor_hostname
            raise GuestFailed(operation="open", server_id=f"host {host}", reason=str(error)) from None
        self._events.reopen()

    async def close(self) -> None:
        """Listeners end; the guests stay."""
        self._events.close()

    async def resources(self) -> HostResources:
        """What it was told to have."""
        return self._resources

    async def guests(self) -> list[GuestState]:
        """Every guest, on or off."""
        return [GuestState(server_id=guest.server_id, power=guest.power) for guest in self._guests.values()]

    async def power(self, server_id: str) -> Power:
        """NOSTATE when there is no such guest."""
        guest = self._guests.get(server_id)
        return guest.power if guest else Power.NOSTATE

    async def spawn(self, guest: GuestSpec) -> None:
        """Check the inputs as the real driver does, then be running."""
        async with self._locks.hold(guest.server_id):
            self._forget(guest.server_id)
            check_spec(guest)
            await self._begin("spawn", guest.server_id, self._delays.spawn)
            named = _HOSTNAME.search(guest.config_drive, max(0, guest.config_drive.find(b'"hostname"')))
            hostname = named.group(1).decode(errors="replace") if named else guest.name
            fresh = FakeGuest(
                server_id=guest.server_id, name=guest.name, hostname=hostname, power=Power.SHUTDOWN, boots=0
            )
            self._boot(fresh, "spawn")

    async def destroy(self, server_id: str) -> None:
        """Gone, with its file."""
        async with self._locks.hold(server_id):
            await self._begin("destroy", server_id, self._delays.destroy)
            if self._guests.get(server_id):
                self._forget(server_id)
                self._events.publish(GuestState(server_id=server_id, power=Power.SHUTDOWN))

    async def power_on(self, server_id: str) -> None:
        """Raises GuestFailed when there is no such guest."""
        async with self._locks.hold(server_id):
            await self._begin("power_on", server_id, self._delays.power_on)
            guest = self._known("power_on", server_id)
            if guest.power != Power.RUNNING:
                self._boot(guest, "power_on")

    async def power_off(self, server_id: str, timeout: float) -> None:
        """A guest that ignores the power button goes down after `timeout`, as a real one would."""
        await self._begin("power_off", server_id, self._delays.power_off)
        if not self._answers and timeout > 0 and await self.power(server_id) == Power.RUNNING:
            await asyncio.sleep(timeout)
        async with self._locks.hold(server_id):
            guest = self._guests.get(server_id)
            if guest and guest.power != Power.SHUTDOWN:
                asked = "powering off" if self._answers and timeout > 0 else ""
                self._halt(guest, asked, "power_off")

    async def reboot(self, server_id: str, *, hard: bool, timeout: float) -> None:
        """Off by the button or by the plug, then on again."""
        self._known("reboot", server_id)
        await self.power_off(server_id, 0.0 if hard else timeout)
        async with self._locks.hold(server_id):
            await self._begin("reboot", server_id, self._delays.power_on)
            self._boot(self._known("reboot", server_id), "reboot")

    async def console_output(self, server_id: str, max_bytes: int) -> bytes:
        """What a guest would have said, and that this one is a fake."""
        guest = self._guests.get(server_id)
        text = guest.console.encode() if guest else b""
        return text[-max_bytes:] if max_bytes > 0 else b""

    def events(self) -> AsyncIterator[GuestState]:
        """Every change of power."""
        return self._events.listen()

    def guest_dies(self, server_id: str) -> None:
        """What a crash of QEMU or a guest's own shutdown looks like from outside; for tests and experiments."""
        self._halt(self._known("guest_dies", server_id), "", "guest_dies")

    async def _begin(self, operation: str, server_id: str, seconds: float) -> None:
        if self._before:
            await self._before(operation, server_id)
        if seconds > 0:
            await asyncio.sleep(seconds)

    def _known(self, operation: str, server_id: str) -> FakeGuest:
        guest = self._guests.get(server_id)
        if guest is None:
            raise GuestFailed(operation=operation, server_id=server_id, reason="there is no such guest on this host")
        return guest

    def _boot(self, guest: FakeGuest, operation: str) -> None:
        said = (
            f"novaflow fake guest: instance-id {guest.server_id}\n"
            f"novaflow fake guest: hostname {guest.hostname}\n"
            f"novaflow fake guest: boot {guest.boots + 1}\n"
            "novaflow fake guest: ready\n"
        )
        self._keep(guest, operation, Power.RUNNING, said, guest.boots + 1)

    def _halt(self, guest: FakeGuest, said: str, operation: str) -> None:
        self._keep(guest, operation, Power.SHUTDOWN, f"novaflow fake guest: {said}\n" if said else "", guest.boots)

    def _keep(self, guest: FakeGuest, operation: str, power: Power, said: str, boots: int) -> None:
        console = (guest.console + said)[-_TEXT_KEPT:]
        after = msgspec.structs.replace(guest, power=power, console=console, boots=boots)
        path = self._directory / f"{guest.server_id}.json"
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(after))
            fresh.replace(path)
        except OSError as error:
            raise GuestFailed(operation=operation, server_id=guest.server_id, reason=str(error)) from None
        self._guests[guest.server_id] = after
        self._events.publish(GuestState(server_id=guest.server_id, power=power))

    def _forget(self, server_id: str) -> None:
        (self._directory / f"{server_id}.json").unlink(missing_ok=True)
        self._guests.pop(server_id, None)
