"""One compute host on libvirt: the embedded one, a daemon's, or libvirt's own test driver."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import libvirt

from novaflow.errors import GuestFailed
from novaflow.models import HostResources
from novaflow.states import Power
from novaflow.virt import kvm
from novaflow.virt.checks import GIB, check_size, check_spec
from novaflow.virt.domain_xml import Machine, Owner, Paths, build_domain
from novaflow.virt.driver import GuestSpec, GuestState
from novaflow.virt.events import PowerEvents
from novaflow.virt.image_facts import Format, Refused, inspect
from novaflow.virt.instance_files import InstanceFiles, OverlayFailed, create_overlay
from novaflow.virt.libvirt import domains
from novaflow.virt.libvirt.connection import Connection, release, share
from novaflow.virt.libvirt.embed import CannotEmbed, prepare_root
from novaflow.virt.locks import GuestLocks
from novaflow.virt.machine import qemu_version

T = TypeVar("T")

BUTTON_SECONDS: Final = 3.0  # between two presses of the power button: a guest that is still booting misses the first
LOOK_SECONDS: Final = 0.2  # between two looks whether a guest is off, for the event may be missed
_EMBED: Final = "qemu:///embed"


class LibvirtDriver:
    """Driver over libvirt. Guests' files are in `<directory>/<host>/instances`, the embedded libvirt is in `<directory>/libvirt`."""

    def __init__(
        self, uri: str, virt_type: str, *, host: str, directory: Path, on_notice: Callable[[str], None]
    ) -> None:
        self._uri = uri
        self._virt_type = virt_type
        self._host = host
        self._directory = directory
        self._on_notice = on_notice
        self._files = InstanceFiles(directory / host)
        self._owner = Owner(host=host, directory=str(self._files.directory))
        self._locks = GuestLocks()
        self._events = PowerEvents()
        self._known: set[str] = set()
        self._shared: Connection | None = None
        self._machine = Machine(virt_type="qemu", emulator="")
        self._version = 0  # of QEMU
        self._warming: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, decide between KVM and emulation, and find the guests that are there."""
        with self._failures("open", f"host {self._host}"):
            self._files.directory.mkdir(parents=True, exist_ok=True)
            uri = f"{_EMBED}?root={prepare_root(self._directory)}" if self._uri == _EMBED else self._uri
            self._shared = share(uri)
            try:
                await self._shared.run(domains.list_guests, self._owner)
                self._machine = await self._choose_machine()
            except BaseException:
                await self._disconnect()
                raise
            self._events.reopen()
            self._shared.listen(self._on_power)
            await self.guests()
        self._warming = asyncio.create_task(self._warm_up(self._shared))

    async def close(self) -> None:
        """Disconnect; the guests go on."""
        self._events.close()
        await self._disconnect()

    async def resources(self) -> HostResources:
        """What the machine has; every host of a process says the same."""
        disk_gb = shutil.disk_usage(self._files.directory).total // GIB
        with self._failures("resources", f"host {self._host}"):
            return await self._connection.run(domains.resources, self._host, disk_gb, self._version)

    async def guests(self) -> list[GuestState]:
        """Every domain that is ours. Console logs that have grown too large are cut on the way."""
        with self._failures("guests", f"host {self._host}"):
            found = await self._connection.run(domains.list_guests, self._owner)
            self._known |= {guest.server_id for guest in found}
            for guest in found:
                self._files.trim_console(guest.server_id)
            return found

    async def power(self, server_id: str) -> Power:
        """NOSTATE when there is no such guest of ours."""
        with self._failures("power", server_id):
            return await self._connection.run(domains.power, self._owner, server_id)

    async def spawn(self, guest: GuestSpec) -> None:
        """Make the guest's files, define it and start it. A cancelled spawn leaves nothing either."""
        async with self._locks.hold(guest.server_id):
            with self._failures("spawn", guest.server_id):
                await self._clear(guest.server_id)
                found = check_spec(guest)
                self._known.add(guest.server_id)
                try:
                    await self._build(guest, found or (await inspect(guest.disk) if guest.disk else None))
                except BaseException:
                    await _see_through(self._clear(guest.server_id))
                    raise

    async def destroy(self, server_id: str) -> None:
        """Stop it, forget it, remove its files. A domain of that id that is not ours is left alone."""
        async with self._locks.hold(server_id):
            with self._failures("destroy", server_id), contextlib.suppress(domains.NotOurs):
                await _see_through(self._clear(server_id))

    async def power_on(self, server_id: str) -> None:
        """Start it from its definition."""
        async with self._locks.hold(server_id):
            with self._failures("power_on", server_id):
                self._must_be_there(await self._connection.run(domains.start, self._owner, server_id))

    async def power_off(self, server_id: str, timeout: float) -> None:
        """By the ACPI power button, which is pressed again until the guest hears it, and after `timeout` by the plug."""
        with self._failures("power_off", server_id):
            if timeout > 0 and await self._goes_down(server_id, timeout):
                return
            async with self._locks.hold(server_id):
                await self._connection.run(domains.pull_plug, self._owner, server_id)

    async def reboot(self, server_id: str, *, hard: bool, timeout: float) -> None:
        """Off by the button or by the plug, then started from its definition, as Nova does both."""
        await self.power_off(server_id, 0.0 if hard else timeout)
        async with self._locks.hold(server_id):
            with self._failures("reboot", server_id):
                self._must_be_there(await self._connection.run(domains.start, self._owner, server_id))

    async def console_output(self, server_id: str, max_bytes: int) -> bytes:
        """The end of console.log."""
        with self._failures("console_output", server_id):
            return await asyncio.to_thread(self._files.console_end, server_id, max_bytes)

    def events(self) -> AsyncIterator[GuestState]:
        """What libvirt tells of our guests."""
        return self._events.listen()

    @property
    def _connection(self) -> Connection:
        if self._shared is None:
            raise GuestFailed(operation="use", server_id=f"host {self._host}", reason="the driver is not open")
        return self._shared

    async def _disconnect(self) -> None:
        if self._warming:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.ignore(self._on_power)
            await release(shared)

    async def _choose_machine(self) -> Machine:
        """KVM where it is proven; otherwise emulation, and a notice that says so and why."""
        if self._uri.startswith("test"):
            return Machine(virt_type="test", emulator="")
        emulator = shutil.which(kvm.QEMU) or ""
        self._version = await qemu_version(emulator) if emulator else 0
        if self._virt_type != "auto":
            return Machine(virt_type=self._virt_type, emulator=emulator)
        verdict = await kvm.judge(self._directory)
        if not verdict.is_usable and self._connection.is_news(verdict.reason):
            self._on_notice(f"KVM is not usable, guests are emulated (domain type qemu, slow): {verdict.reason}")
        return Machine(virt_type="kvm" if verdict.is_usable else "qemu", emulator=emulator)

    async def _warm_up(self, connection: Connection) -> None:
        """Beside the start, not before it. What is wrong with QEMU is said when a guest needs it."""
        with contextlib.suppress(libvirt.libvirtError, TimeoutError):
            await connection.run(domains.warm_up)

    async def _build(self, guest: GuestSpec, found: Format | None) -> None:
        paths = self._files.make(guest.server_id, guest.config_drive)
        if guest.disk and found:
            check_size(guest, found)
            disk = self._files.of(guest.server_id) / "disk"
            await create_overlay(disk, guest.disk, found, guest.flavor.disk_gb)
            paths = Paths(console=paths.console, config_drive=paths.config_drive, disk=str(disk))
        xml = build_domain(guest, paths, self._machine, self._owner)
        given_up = threading.Event()
        try:
            await _see_through(self._connection.run(domains.define_and_start, xml, given_up))
        except TimeoutError:
            given_up.set()
            raise

    async def _clear(self, server_id: str) -> None:
        """No domain, no files; raises NotOurs, after removing our files, when the domain is somebody else's."""
        others: domains.NotOurs | None = None
        try:
            await self._connection.run(domains.remove, self._owner, server_id)
        except domains.NotOurs as error:
            others = error
        await asyncio.to_thread(self._files.remove, server_id)
        self._known.discard(server_id)
        if others:
            raise others

    async def _goes_down(self, server_id: str, timeout: float) -> bool:
        """Press the button until the guest is off; False when `timeout` seconds were not enough."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        press_at = loop.time()
        while (now := loop.time()) < end:
            if now >= press_at:
                press_at = now + BUTTON_SECONDS
                still_on = await self._connection.run(domains.press_power_button, self._owner, server_id)
            else:
                still_on = await self._connection.run(domains.is_on, self._owner, server_id)
            if not still_on:
                return True
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - now)))
        return False

    def _must_be_there(self, found: bool) -> None:  # noqa: FBT001
        if not found:
            raise Refused("there is no such guest on this host")

    def _on_power(self, server_id: str, power: Power) -> None:
        if server_id in self._known:
            self._events.publish(GuestState(server_id=server_id, power=power))

    @contextlib.contextmanager
    def _failures(self, operation: str, server_id: str) -> Iterator[None]:
        """Everything that the outside world does to us, as GuestFailed with one sentence."""
        try:
            yield
        except libvirt.libvirtError as error:
            reason = _explain(error)
        except (Refused, OverlayFailed, CannotEmbed, domains.NotOurs) as error:
            reason = str(error)
        except TimeoutError:
            reason = "libvirt did not answer in time"
        except OSError as error:
            reason = str(error)
        else:
            return
        raise GuestFailed(operation=operation, server_id=server_id, reason=reason)


async def _see_through(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end even when the caller is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return task.result()


_EXPLAINED: Final = (
    ("already open with path", "this process runs an embedded libvirt in another directory: {said}"),
    ("Failed to acquire pid file", "another process runs the embedded libvirt of this directory: {said}"),
    ("no connection driver available", "libvirt's QEMU driver is missing (apt-get install libvirt-daemon-driver-qemu)"),
    ("Failed to connect socket", "no libvirt daemon answers: {said}"),
)


def _explain(error: libvirt.libvirtError) -> str:
    said = str(error.get_error_message() or error)
    return next((text.format(said=said) for sign, text in _EXPLAINED if sign in said), said)
