"""A host's signs of life: it registers with the conductor when it starts, and says at intervals what it works on.

A conductor that is away is waited for: the host goes on with what it has, and registers when somebody answers.
"""

import logging
from collections.abc import Sequence
from typing import Final

from novaflow.errors import GuestFailed, NovaflowError
from novaflow.hosts import HostResources
from novaflow.messages import Guest, HostedServer
from novaflow.virt.driver import GuestState
from rpc.errors import BusError
from services.compute.host import ComputeHost

PAUSE: Final = 1.0  # seconds between two tries to register
log = logging.getLogger(__name__)


class Pulse:
    """Registers one host and keeps it known as alive. `resources` are what it had when it started."""

    def __init__(self, host: ComputeHost, resources: HostResources) -> None:
        self._host = host
        self._resources = resources
        self._is_alone = False

    async def register(self, guests: Sequence[GuestState]) -> list[HostedServer]:
        """Tell the conductor until it answers; the answer is what the database places here.

        `guests` are those found before the first order was taken.
        """
        zone = self._host.config.compute.availability_zone
        found = tuple(Guest(server_id=guest.server_id, power=guest.power) for guest in guests)
        while True:
            try:
                servers = await self._host.records.started(self._resources, zone, found)
            except (NovaflowError, BusError) as error:
                self._miss(error)
                await self._host.clock.sleep(PAUSE)
            else:
                self._is_alone = False
                return servers

    async def beat(self) -> None:
        """Beat until cancelled; a beat that nobody hears is not repeated, the next one comes soon enough."""
        interval = self._host.config.compute.heartbeat_interval
        while True:
            await self._host.clock.sleep(interval)
            try:
                await self._read_resources()
                await self._host.records.beat(self._resources, self._host.slots.running, interval)
                self._is_alone = False
            except (NovaflowError, BusError) as error:
                self._miss(error)

    async def _read_resources(self) -> None:
        try:
            self._resources = await self._host.driver.resources()
        except GuestFailed as error:
            log.warning("host %s cannot say what it has: %s", self._host.name, error)

    def _miss(self, error: Exception) -> None:
        """Say once that the conductor is away, not at every beat."""
        if not self._is_alone:
            log.warning("host %s: the conductor does not answer: %s", self._host.name, error)
        self._is_alone = True
