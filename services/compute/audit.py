"""What the hypervisor runs against what the database says, and the power states that change by themselves.

The database decides which guests should be here (services.compute.strays removes the others), the hypervisor which power state they
have. Before a guest is switched on or off the database is asked once more, with the server's turn held.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

from novaflow.errors import GuestFailed, NovaflowError
from novaflow.messages import HostedServer
from novaflow.states import Power, Task, Vm
from novaflow.virt.driver import GuestState
from rpc.errors import BusError
from services.compute.boots import has_rebooted, note_boot
from services.compute.host import ComputeHost
from services.compute.strays import Strays

PAUSE: Final = 1.0  # seconds between two tries to start what ran before the machine went down
SETTLING_TIME: Final = 0.5  # seconds before a changed power state is looked at again and believed
# A server in one of these has a guest here, whose power state is worth knowing.
WITH_GUEST: Final = frozenset(
    {Vm.ACTIVE, Vm.STOPPED, Vm.ERROR, Vm.PAUSED, Vm.SUSPENDED, Vm.RESCUED, Vm.RESIZED, Vm.SHELVED, Vm.SOFT_DELETED}
)
# A guest that runs although its server is in one of these: nobody wants it to run.
WANTED_OFF: Final = frozenset({Vm.STOPPED, Vm.SOFT_DELETED, Vm.SHELVED})
OFF: Final = frozenset({Power.NOSTATE, Power.SHUTDOWN, Power.CRASHED})
log = logging.getLogger(__name__)


class Auditor:
    """Keeps one host and the records of it alike."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._strays = Strays(host)
        self._hints: dict[str, Power] = {}
        self._is_hinted = asyncio.Event()
        self._lost: set[str] = set()

    async def run(self, guests: Sequence[GuestState], servers: Sequence[HostedServer]) -> None:
        """Compare what was found at the start, then every `compute.sync_power_state_interval` seconds, until cancelled."""
        while not await self._surviving(self._start_again(servers)):
            await self._host.clock.sleep(PAUSE)  # the comparison would take them for stopped
        await self._surviving(self.compare(guests, servers))
        while True:
            await self._host.clock.sleep(self._host.config.compute.sync_power_state_interval)
            await self._surviving(self.audit())

    async def audit(self) -> None:
        """List the guests, ask the database, compare."""
        guests = await self._host.driver.guests()
        await self.compare(guests, await self._host.records.servers())

    async def compare(self, guests: Iterable[GuestState], servers: Sequence[HostedServer]) -> None:
        """Remove strays and set right what the records have wrong. `guests` were listed before `servers`."""
        found = {guest.server_id: guest.power for guest in guests}
        await self._strays.clear(sorted(found))
        await self._strays.take_back(servers)
        self._lost &= {server.id for server in servers} - found.keys()
        for server in servers:
            await self._compare_power(server, found)

    async def watch(self) -> None:
        """Collect the hypervisor's events until the driver closes."""
        async for hint in self._host.driver.events():
            self._hints[hint.server_id] = hint.power
            self._is_hinted.set()

    async def settle(self) -> None:
        """Look again, a little later, at guests whose power state is said to be other than was told; until cancelled."""
        while True:
            await self._is_hinted.wait()
            await self._host.clock.sleep(SETTLING_TIME)
            hints, self._hints = self._hints, {}
            self._is_hinted.clear()
            for server_id, power in hints.items():
                if self._host.told.get(server_id) != power:
                    await self._surviving(self._look_again(server_id, power))

    async def _start_again(self, servers: Sequence[HostedServer]) -> None:
        """The machine went down and is up again, and took its guests with it: start those that ran."""
        is_wanted = self._host.config.compute.resume_guests_state_on_host_boot
        if is_wanted and has_rebooted(self._host.directory):
            for server in servers:
                if server.vm is Vm.ACTIVE and server.task is Task.IDLE and server.power is Power.RUNNING:
                    await self._start(server.id)
        note_boot(self._host.directory)

    async def _start(self, server_id: str) -> None:
        async with self._host.slots.hold(server_id):
            if not await self._is_still(server_id, {Vm.ACTIVE}):
                return
            try:
                if await self._host.driver.power(server_id) is Power.SHUTDOWN:
                    log.warning("host %s was down: server %s is started again", self._host.name, server_id)
                    await self._host.driver.power_on(server_id)
                    self._host.told[server_id] = Power.RUNNING
            except GuestFailed as error:
                log.warning("host %s: server %s cannot be started again: %s", self._host.name, server_id, error)

    async def _look_again(self, server_id: str, hint: Power) -> None:
        if self._host.slots.is_busy(server_id):
            self._hints.setdefault(server_id, hint)
            self._is_hinted.set()
            return
        told = self._host.told.get(server_id, Power.NOSTATE)
        power = await self._host.driver.power(server_id)
        if power == told or self._host.slots.is_busy(server_id):
            return
        if told in OFF and power not in OFF:
            await self.audit()
        else:
            self._host.told[server_id] = power
            await self._host.records.power(server_id, power)

    async def _surviving(self, work: Coroutine[Any, Any, None]) -> bool:
        """What cannot be done now is done at the next audit; False when that is because somebody is away."""
        try:
            await work
        except (NovaflowError, BusError) as error:
            log.warning("host %s is audited later: %s", self._host.name, error)
            return False
        except Exception:
            log.exception("host %s could not be audited", self._host.name)
        return True

    async def _compare_power(self, server: HostedServer, found: Mapping[str, Power]) -> None:
        if server.vm not in WITH_GUEST or server.task is not Task.IDLE or server.task_id is not None:
            return
        power = found.get(server.id, Power.NOSTATE)
        is_stopped_by_itself = (
            server.vm in (Vm.ACTIVE, Vm.PAUSED) and power in OFF
        )  # told already, and nothing came of it
        runs_in_vain = server.vm in WANTED_OFF and power not in OFF
        if power == server.power and not is_stopped_by_itself and not runs_in_vain:
            self._host.told.setdefault(server.id, power)
            return
        async with self._host.slots.hold(server.id):
            power = await self._host.driver.power(server.id)  # orders may have been carried out since the listing
            self._host.told[server.id] = power
            if server.vm in WANTED_OFF and power not in OFF:
                await self._switch_off(server.id)
            elif server.vm is Vm.ACTIVE and power is Power.NOSTATE:
                await self._miss(server.id)
            else:
                await self._host.records.power(server.id, power)

    async def _miss(self, server_id: str) -> None:
        """There is no guest at all. It is looked for once more at the next audit before anybody is told."""
        if server_id in self._lost:
            self._lost.discard(server_id)
            await self._host.records.lost(server_id)
        else:
            self._lost.add(server_id)

    async def _switch_off(self, server_id: str) -> None:
        if await self._is_still(server_id, WANTED_OFF):
            log.warning("host %s: switching off the guest of server %s, which is off", self._host.name, server_id)
            await self._host.driver.power_off(server_id, 0.0)
            self._host.told[server_id] = Power.SHUTDOWN

    async def _is_still(self, server_id: str, vms: Iterable[Vm]) -> bool:
        """Whether the database still says so, and nobody is at work on it."""
        now = {server.id: server for server in await self._host.records.servers()}.get(server_id)
        return now is not None and now.vm in vms and now.task is Task.IDLE
