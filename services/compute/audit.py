"""What the hypervisor runs against what the database says, and the power states that change by themselves.

The database decides which guests should be here, the hypervisor which power state they have. Guests are listed before the database is
asked: a server is placed on this host before its guest is made, so a guest whose server is not placed here afterwards is a
stray (its build went elsewhere, or the server was deleted while this host was away). Before anything is destroyed or
switched off the database is asked once more, with the server's turn held.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

from novaflow.errors import NovaflowError
from novaflow.messages import HostedServer
from novaflow.states import Power, Task, Vm
from novaflow.virt.driver import GuestState
from rpc.errors import BusError
from services.compute.host import ComputeHost

INTERVAL: Final = 600.0  # seconds between two audits; Nova's sync_power_state_interval
SETTLING_TIME: Final = 0.5  # seconds before a changed power state is looked at again and believed
SETTLED: Final = frozenset({Vm.ACTIVE, Vm.STOPPED, Vm.ERROR})
OFF: Final = frozenset({Power.NOSTATE, Power.SHUTDOWN, Power.CRASHED})
log = logging.getLogger(__name__)


class Auditor:
    """Keeps one host and the records of it alike."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._hints: dict[str, Power] = {}
        self._is_hinted = asyncio.Event()

    async def run(self, guests: Sequence[GuestState], servers: Sequence[HostedServer]) -> None:
        """Compare what was found at the start, then every INTERVAL seconds, until cancelled."""
        await self._surviving(self.compare(guests, servers))
        while True:
            await self._host.clock.sleep(INTERVAL)
            await self._surviving(self.audit())

    async def audit(self) -> None:
        """List the guests, ask the database, compare."""
        guests = await self._host.driver.guests()
        await self.compare(guests, await self._host.records.servers())

    async def compare(self, guests: Iterable[GuestState], servers: Iterable[HostedServer]) -> None:
        """Remove strays and set right what the records have wrong. `guests` were listed before `servers`."""
        found = {guest.server_id: guest.power for guest in guests}
        placed = {server.id: server for server in servers}
        for server_id in sorted(found.keys() - placed.keys()):
            await self._remove_stray(server_id)
        for server in placed.values():
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

    async def _surviving(self, work: Coroutine[Any, Any, None]) -> None:
        """What cannot be done now is done at the next audit."""
        try:
            await work
        except (NovaflowError, BusError) as error:
            log.warning("host %s is audited later: %s", self._host.name, error)
        except Exception:
            log.exception("host %s could not be audited", self._host.name)

    async def _remove_stray(self, server_id: str) -> None:
        async with self._host.slots.hold(server_id):
            if server_id not in {guest.server_id for guest in await self._host.driver.guests()}:
                return  # its delete was carried out since the listing
            if server_id not in {server.id for server in await self._host.records.servers()}:
                log.warning(
                    "host %s: removing the guest of server %s, which is not placed here", self._host.name, server_id
                )
                await self._host.driver.destroy(server_id)
                self._host.told.pop(server_id, None)

    async def _compare_power(self, server: HostedServer, found: Mapping[str, Power]) -> None:
        if server.vm not in SETTLED or server.task is not Task.IDLE:
            return
        power = found.get(server.id, Power.NOSTATE)
        is_stopped_by_itself = server.vm is Vm.ACTIVE and power in OFF  # told already, and nothing came of it
        if power == server.power and not is_stopped_by_itself:
            self._host.told.setdefault(server.id, power)
            return
        async with self._host.slots.hold(server.id):
            power = await self._host.driver.power(server.id)  # orders may have been carried out since the listing
            self._host.told[server.id] = power
            if server.vm is Vm.STOPPED and power not in OFF:
                await self._switch_off(server.id)
            else:
                await self._host.records.power(server.id, power)

    async def _switch_off(self, server_id: str) -> None:
        """A guest runs although its server is stopped and nobody is starting it: nobody wants it to run."""
        now = {server.id: server for server in await self._host.records.servers()}.get(server_id)
        if now and now.vm is Vm.STOPPED and now.task is Task.IDLE:
            log.warning("host %s: switching off the guest of stopped server %s", self._host.name, server_id)
            await self._host.driver.power_off(server_id, 0.0)
            self._host.told[server_id] = Power.SHUTDOWN
