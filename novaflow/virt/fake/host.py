"""What all operations of a fake host share: its guests, its files, and how an operation begins."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from novaflow.errors import GuestFailed
from novaflow.hosts import HostResources
from novaflow.models import Value
from novaflow.states import Power
from novaflow.virt.checks import check_spec
from novaflow.virt.driver import GuestSpec, GuestState
from novaflow.virt.events import PowerEvents
from novaflow.virt.fake.files import HostFiles
from novaflow.virt.fake.guest import FakeGuest, booted, went_on
from novaflow.virt.image_facts import Format, Refused
from novaflow.virt.interruptions import Interruptions
from novaflow.virt.locks import GuestLocks
from novaflow.virt.volume_files import VolumeFiles

Before = Callable[[str, str], Awaitable[None]]
"""Awaited with (operation, server id) before the driver does anything; may wait, or raise GuestFailed."""


class FakeDelays(Value, frozen=True, kw_only=True):
    """Seconds that the operations take, for experiments. A rescue and its end take what a start takes."""

    spawn: float = 0.0
    destroy: float = 0.0
    power_on: float = 0.0
    power_off: float = 0.0
    suspend: float = 0.0
    resume: float = 0.0
    snapshot: float = 0.0
    adopt: float = 0.0
    migrate: float = 0.0
    storage: float = 0.0  # whatever is done with volumes and their snapshots


class FakeHost:
    """One fake host. The guests are kept in memory too; only one that comes from another host is looked for on the disk."""

    def __init__(
        self,
        directory: Path,
        resources: HostResources,
        *,
        delays: FakeDelays,
        before: Before | None,
        answers_power_button: bool,
    ) -> None:
        self.resources = resources
        self.delays = delays
        self.answers_power_button = answers_power_button
        self.files = HostFiles(directory)
        self.volumes = VolumeFiles(directory)
        self.events = PowerEvents()
        self.copying = Interruptions()
        self._before = before
        self._locks = GuestLocks()
        self._guests: dict[str, FakeGuest] = {}
        self._expected: set[str] = set()
        self._leaving: dict[str, asyncio.Event] = {}

    def open(self) -> None:
        """Find what an earlier process left; raises GuestFailed."""
        try:
            self.files.prepare()
            self._guests = self.files.guests()
            self._expected = set(self.files.expected_ids())
        except (OSError, msgspec.DecodeError) as error:
            host = self.resources.hypervisor_hostname
            raise GuestFailed(operation="open", server_id=f"host {host}", reason=str(error)) from None
        self.events.reopen()

    @asynccontextmanager
    async def alone(self, operation: str, server_id: str) -> AsyncIterator[None]:
        """No other operation works on this guest meanwhile; what the disk does to us, and what is refused, is GuestFailed."""
        async with self._locks.hold(server_id):
            try:
                yield
            except (OSError, msgspec.DecodeError, Refused) as error:
                raise GuestFailed(operation=operation, server_id=server_id, reason=str(error)) from None

    def at_rest(self, volume_ids: Iterable[str]) -> AbstractAsyncContextManager[None]:
        """Nobody copies these volumes, so a guest may begin to write to them. For whoever works on that guest."""
        return self._locks.hold_all(volume_ids)

    async def begin(self, operation: str, server_id: str, seconds: float = 0.0) -> None:
        """The hook, and the time it takes."""
        if self._before:
            await self._before(operation, server_id)
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def travel(self, server_id: str) -> None:
        """The hook of a migration, and the time it takes: none any more once it is forced."""
        forced = self._leaving[server_id] = asyncio.Event()
        try:
            await self.begin("migrate", server_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.delays.migrate):
                    await forced.wait()
        finally:
            del self._leaving[server_id]

    def force(self, server_id: str) -> bool:
        """The migration of this guest shall take no longer; False when there is none."""
        forced = self._leaving.get(server_id)
        if forced:
            forced.set()
        return forced is not None

    def all(self) -> list[FakeGuest]:
        """Every guest, with those that have come since somebody looked."""
        for server_id in self._expected - self._guests.keys():
            self.get(server_id)
        return list(self._guests.values())

    def get(self, server_id: str) -> FakeGuest | None:
        """The guest of that id, if it is here."""
        guest = self._guests.get(server_id)
        if guest is None and server_id in self._expected:
            self.find_again(server_id)
        return self._guests.get(server_id)

    def known(self, operation: str, server_id: str) -> FakeGuest:
        """The guest of that id; raises GuestFailed."""
        guest = self.get(server_id)
        if guest is None:
            raise refused(operation, server_id, "there is no such guest on this host")
        return guest

    def switched_on(self, operation: str, server_id: str) -> FakeGuest:
        """The guest of that id, which runs or is paused; raises GuestFailed."""
        guest = self.known(operation, server_id)
        if not guest.is_on:
            raise refused(operation, server_id, "the guest is not running")
        return guest

    def start(self, guest: FakeGuest) -> None:
        """Have it run: with its saved memory if there is any. One that is on already is left alone."""
        if guest.is_saved:
            self.keep(went_on(guest))
        elif not guest.is_on:
            self.boot(guest)

    def boot(self, guest: FakeGuest) -> None:
        """Start it afresh."""
        self.keep(booted(guest, new_id()))

    def keep(self, guest: FakeGuest) -> None:
        """This is how the guest is now; listeners hear of a change of power."""
        before = self._guests.get(guest.server_id)
        self.files.keep(guest)
        self._guests[guest.server_id] = guest
        if guest.power != (before.power if before else Power.SHUTDOWN):
            self.tell(guest.server_id, guest.power)

    def forget(self, server_id: str) -> None:
        """There is no such guest any more, and none is expected."""
        self.files.forget(server_id)
        self._guests.pop(server_id, None)
        self._expected.discard(server_id)

    def find_again(self, server_id: str) -> None:
        """Its file has come back."""
        guest = self.files.guest(server_id)
        if guest:
            self._guests[server_id] = guest

    def lose(self, server_id: str) -> None:
        """Its file is somewhere else now."""
        self._guests.pop(server_id, None)

    def expect(self, server_id: str, disk_bytes: dict[str, int]) -> None:
        """A guest comes from another host."""
        self.files.expect(server_id, disk_bytes)
        self._expected.add(server_id)

    def expect_no_more(self, server_id: str) -> bool:
        """Was it expected until now?"""
        self.files.expect_no_more(server_id)
        was_expected = server_id in self._expected
        self._expected.discard(server_id)
        return was_expected

    def tell(self, server_id: str, power: Power) -> None:
        """Listeners hear it."""
        self.events.publish(GuestState(server_id=server_id, power=power))


def new_id() -> str:
    """For a boot or for what is on a fresh disk."""
    return uuid.uuid4().hex


def refused(operation: str, server_id: str, reason: str) -> GuestFailed:
    """The failure of an operation, in one sentence."""
    return GuestFailed(operation=operation, server_id=server_id, reason=reason)


def check(operation: str, guest: GuestSpec) -> Format | None:
    """What every driver checks, refused in the name of this operation."""
    try:
        return check_spec(guest)
    except GuestFailed as refusal:
        raise refused(operation, guest.server_id, refusal.reason) from None
