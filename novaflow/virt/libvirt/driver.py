"""One compute host on libvirt: the embedded one, a daemon's, or libvirt's own test driver.

This file opens and closes it and says where each operation is. How it is done stands in the modules beside it.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import libvirt
import msgspec

from novaflow.hosts import HostResources
from novaflow.states import Power
from novaflow.virt import kvm
from novaflow.virt.checks import GIB
from novaflow.virt.domain_facts import Machine
from novaflow.virt.driver import (
    BootSource,
    Console,
    Diagnostics,
    GuestFile,
    GuestSpec,
    GuestState,
    Incoming,
    StoredVolume,
)
from novaflow.virt.events import PowerEvents
from novaflow.virt.libvirt import (
    agent,
    arrivals,
    building,
    diagnostics,
    domains,
    leftovers,
    memory,
    migration,
    parking,
    power,
    rescue,
    screens,
    snapshots,
    volumes,
    wiring,
)
from novaflow.virt.libvirt.connection import Connection, release, share
from novaflow.virt.libvirt.embed import prepare_root
from novaflow.virt.libvirt.failures import failures
from novaflow.virt.libvirt.host import LibvirtHost
from novaflow.virt.libvirt.route import Route
from novaflow.virt.machine import qemu_version

_EMBED: Final = "qemu:///embed"
_AGENTS: Final = "agents"  # below the embedded libvirt's root, for sockets


class LibvirtDriver:
    """Driver over libvirt. Guests' files are in `<directory>/<host>/instances`, the embedded libvirt is in `<directory>/libvirt`."""

    def __init__(
        self,
        uri: str,
        virt_type: str,
        *,
        host: str,
        directory: Path,
        on_notice: Callable[[str], None],
        has_vnc: bool = True,
        route: Route,
    ) -> None:
        self._uri = uri
        self._virt_type = virt_type
        self._directory = directory
        self._has_vnc = has_vnc
        self._host = LibvirtHost(host, directory, on_notice, route)
        self._events = PowerEvents()
        self._version = 0  # of QEMU
        self._warming: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, decide between KVM and emulation, find the guests that are there and end what was left half done."""
        host = self._host
        with failures("open", f"host {host.name}"):
            host.files.directory.mkdir(parents=True, exist_ok=True)
            connection = share(self._prepared_uri())
            host.use(connection)
            try:
                await host.run(domains.list_guests)
                host.machine = await self._choose_machine()
                wiring.keep_reachable(host)
                await leftovers.clear_all(connection, host.files, host.owner)
            except BaseException:
                await self._disconnect()
                raise
            self._events.reopen()
            connection.listen(self._on_power)
            await self.guests()
        self._warming = asyncio.create_task(self._warm_up(connection))

    async def close(self) -> None:
        """Disconnect; the guests go on."""
        self._events.close()
        await self._disconnect()

    async def resources(self) -> HostResources:
        """What the machine has; every host of a process says the same."""
        host = self._host
        with failures("resources", f"host {host.name}"):
            disk_gb = shutil.disk_usage(host.files.directory).total // GIB
            found = await host.connection.run(domains.resources, host.name, disk_gb, self._version)
        return msgspec.structs.replace(found, host_ip=host.route.address)

    async def guests(self) -> list[GuestState]:
        """Every domain that is ours. Console logs that have grown too large are cut on the way."""
        with failures("guests", f"host {self._host.name}"):
            found = await self._host.run(domains.list_guests)
            self._host.known |= {guest.server_id for guest in found}
            for guest in found:
                self._host.files.trim_console(guest.server_id)
            return found

    async def leftovers(self) -> list[str]:
        """Directories without a domain of ours."""
        with failures("leftovers", f"host {self._host.name}"):
            found = await self._host.run(domains.list_guests)
            return sorted(set(self._host.files.all_ids()) - {guest.server_id for guest in found})

    async def power(self, server_id: str) -> Power:
        """NOSTATE when there is no such guest of ours."""
        with failures("power", server_id):
            return await self._host.run(domains.power, server_id)

    async def spawn(self, guest: GuestSpec) -> None:
        """Files, definition, start."""
        await building.spawn(self._host, guest)

    async def destroy(self, server_id: str) -> None:
        """Domain and files, parked ones too."""
        await building.destroy(self._host, server_id)

    async def power_on(self, server_id: str) -> None:
        """Start it if it is off."""
        await power.power_on(self._host, server_id)

    async def power_off(self, server_id: str, timeout: float) -> None:
        """By the button, then by the plug."""
        await power.power_off(self._host, server_id, timeout)

    async def reboot(self, server_id: str, *, hard: bool, timeout: float) -> None:
        """Off and on."""
        await power.reboot(self._host, server_id, hard=hard, timeout=timeout)

    async def pause(self, server_id: str) -> None:
        """Stop the processors."""
        await memory.pause(self._host, server_id)

    async def unpause(self, server_id: str) -> None:
        """Let them go on."""
        await memory.unpause(self._host, server_id)

    async def suspend(self, server_id: str) -> None:
        """Managed save."""
        await memory.suspend(self._host, server_id)

    async def resume(self, server_id: str) -> None:
        """Start it from its memory."""
        await memory.resume(self._host, server_id)

    async def rescue(self, guest: GuestSpec, source: BootSource) -> None:
        """Another definition, and the own one kept."""
        await rescue.rescue(self._host, guest, source)

    async def unrescue(self, server_id: str) -> None:
        """The own definition again."""
        await rescue.unrescue(self._host, server_id)

    async def snapshot(self, server_id: str, path: Path) -> None:
        """Copied by QEMU while the guest runs, by qemu-img while it is off."""
        await snapshots.snapshot(self._host, server_id, path)

    async def park(self, server_id: str) -> None:
        """Undefined and aside."""
        await parking.park(self._host, server_id)

    async def parked(self) -> list[str]:
        """By their directories."""
        with failures("parked", f"host {self._host.name}"):
            return self._host.files.parked_ids()

    async def parked_files(self, server_id: str) -> list[GuestFile]:
        """Copies of its disks that stand alone, and of its console log."""
        return await parking.parked_files(self._host, server_id)

    async def adopt(self, guest: GuestSpec, files: list[GuestFile], *, is_running: bool) -> None:
        """A guest of another host's files."""
        await building.adopt(self._host, guest, files, is_running=is_running)

    async def unpark(self, server_id: str, *, is_running: bool) -> None:
        """Defined again."""
        await parking.unpark(self._host, server_id, is_running=is_running)

    async def forget_parked(self, server_id: str) -> None:
        """Only its files are left of it, and they go."""
        await parking.forget_parked(self._host, server_id)

    async def prepare_incoming(self, guest: GuestSpec, disk_bytes: dict[str, int]) -> Incoming:
        """Empty disks for a guest that comes running."""
        return await arrivals.prepare_incoming(self._host, guest, disk_bytes)

    async def disk_sizes(self, server_id: str) -> dict[str, int]:
        """By libvirt."""
        return await migration.disk_sizes(self._host, server_id)

    async def migrate(self, server_id: str, incoming: Incoming) -> None:
        """From libvirt to libvirt."""
        await migration.migrate(self._host, server_id, incoming)

    async def force_complete(self, server_id: str) -> None:
        """Its processors stand still until it is there."""
        await migration.force_complete(self._host, server_id)

    async def finish_incoming(self, server_id: str) -> None:
        """All of it is here."""
        await arrivals.finish_incoming(self._host, server_id)

    async def volumes(self) -> list[StoredVolume]:
        """By their directories."""
        with failures("volumes", f"host {self._host.name}"):
            return await asyncio.to_thread(self._host.volumes.all)

    async def make_volume(self, volume_id: str, size_gb: int, snapshot_id: str = "") -> None:
        """By qemu-img."""
        await volumes.make(self._host, volume_id, size_gb, snapshot_id)

    async def remove_volume(self, volume_id: str) -> None:
        """Its directory goes."""
        await volumes.remove(self._host, volume_id)

    async def attach_volume(self, server_id: str, volume_id: str, device: str) -> str:
        """To the definition, and to the QEMU that runs."""
        return await volumes.attach(self._host, server_id, volume_id, device)

    async def detach_volume(self, server_id: str, volume_id: str, timeout: float) -> None:
        """From the QEMU that runs, when the guest lets go; then from the definition."""
        await volumes.detach(self._host, server_id, volume_id, timeout)

    async def volume_snapshots(self) -> list[str]:
        """By their files."""
        with failures("volume_snapshots", f"host {self._host.name}"):
            return await asyncio.to_thread(self._host.volumes.all_snapshots)

    async def snapshot_volume(self, volume_id: str, snapshot_id: str) -> None:
        """Copied as the root disk is."""
        await volumes.snapshot(self._host, volume_id, snapshot_id)

    async def remove_volume_snapshot(self, snapshot_id: str) -> None:
        """Its file goes."""
        await volumes.remove_snapshot(self._host, snapshot_id)

    async def console_output(self, server_id: str, max_bytes: int) -> bytes:
        """The end of console.log."""
        with failures("console_output", server_id):
            return await asyncio.to_thread(self._host.files.console_end, server_id, max_bytes)

    async def console(self, server_id: str) -> Console:
        """VNC on this machine."""
        return await screens.console(self._host, server_id)

    async def screenshot(self, server_id: str) -> bytes:
        """A PNG of the same."""
        return await screens.screenshot(self._host, server_id)

    async def diagnostics(self, server_id: str) -> Diagnostics:
        """What libvirt counts."""
        return await diagnostics.diagnostics(self._host, server_id)

    async def set_password(self, server_id: str, user: str, password: str) -> None:
        """By the guest's agent."""
        await agent.set_password(self._host, server_id, user, password)

    async def inject_nmi(self, server_id: str) -> None:
        """A non-maskable interrupt for every processor."""
        await power.inject_nmi(self._host, server_id)

    def events(self) -> AsyncIterator[GuestState]:
        """What libvirt tells of our guests."""
        return self._events.listen()

    def _prepared_uri(self) -> str:
        if self._uri != _EMBED:
            return self._uri
        root = prepare_root(self._directory)
        (root / _AGENTS).mkdir(exist_ok=True)
        self._host.root = root
        return f"{_EMBED}?root={root}"

    async def _disconnect(self) -> None:
        if self._warming:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        shared = self._host.leave()
        if shared is not None:
            shared.ignore(self._on_power)
            await release(shared)

    async def _choose_machine(self) -> Machine:
        """KVM where it is proven; otherwise emulation, and a notice that says so and why."""
        if self._uri.startswith("test"):
            return Machine(virt_type="test", emulator="", has_vnc=self._has_vnc)
        emulator = shutil.which(kvm.QEMU) or ""
        self._version = await qemu_version(emulator) if emulator else 0
        virt_type = self._virt_type
        if virt_type == "auto":
            verdict = await kvm.judge(self._directory)
            virt_type = "kvm" if verdict.is_usable else "qemu"
            if not verdict.is_usable:
                why = verdict.reason
                self._host.notice(f"KVM is not usable, guests are emulated (domain type qemu, slow): {why}")
        has_wires = await self._host.connection.run(wiring.can_have_wires, self._version)
        if not has_wires:
            self._host.notice(wiring.WITHOUT)
        return Machine(
            virt_type=virt_type,
            emulator=emulator,
            has_vnc=self._has_vnc,
            has_cgroups=self._uri.partition("?")[0].endswith("/system"),
            has_wires=has_wires,
            agent_directory=str(self._host.root / _AGENTS) if self._host.root else "",
        )

    async def _warm_up(self, connection: Connection) -> None:
        """Beside the start, not before it. What is wrong with QEMU is said when a guest needs it."""
        with contextlib.suppress(libvirt.libvirtError, TimeoutError):
            await connection.run(domains.warm_up)

    def _on_power(self, server_id: str, power: Power) -> None:
        if server_id in self._host.known:
            self._events.publish(GuestState(server_id=server_id, power=power))
