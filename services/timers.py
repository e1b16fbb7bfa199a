"""What becomes due by itself: soft-deleted servers are reclaimed, resizes confirmed, shelved servers offloaded, rescues and builds ended.

Nova's periodic tasks (nova/compute/manager.py: _reclaim_queued_deletes, _poll_unconfirmed_resizes, _poll_shelved_instances,
_poll_rescued_instances, _check_instance_build_time), here of the conductor, which sees all servers. Whoever of several
conductors orders first wins: the others hear that the server has a task.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.servers import Servers
from novaflow.errors import NovaflowError, TaskSuperseded
from novaflow.models import Fault
from novaflow.states import Event, Vm
from rpc.bus import Bus
from rpc.errors import BusError
from services.internal_orders import order_internally

BATCH: Final = 200  # servers ordered of at one look and for one reason
log = logging.getLogger(__name__)


class Timers:
    """Looks for what is due."""

    def __init__(self, bus: Bus, servers: Servers, config: Config, clock: Clock) -> None:
        self._bus = bus
        self._servers = servers
        self._config = config
        self._clock = clock

    async def run(self) -> None:
        """Look every `conductor.timer_interval` seconds, until cancelled. An outage is waited out."""
        while True:
            await self._clock.sleep(self._config.conductor.timer_interval)
            try:
                await self.look()
            except (NovaflowError, BusError) as error:
                log.warning("what is due is looked for again later: %s", error)
            except Exception:
                log.exception("what is due could not be looked for")

    async def look(self) -> int:
        """Order whatever is due; answers how much was ordered here."""
        ordered = 0
        for vm, seconds, event in self._dues():
            before = self._clock.now() - timedelta(seconds=seconds)
            for server in await self._servers.idle_since(vm, before, BATCH):
                log.info("server %s has been %s for %.0f s: %s", server.id, vm, seconds, event)
                ordered += await order_internally(self._bus, self._servers, server, event)
        return ordered + await self._end_builds()

    def _dues(self) -> Iterator[tuple[Vm, float, Event]]:
        """How long a server may be in a state, and what happens then; only what is switched on."""
        compute = self._config.compute
        for vm, seconds, event in (
            (Vm.SOFT_DELETED, compute.reclaim_instance_interval, Event.DELETE_ORDERED),
            (Vm.RESIZED, compute.resize_confirm_window, Event.CONFIRM_ORDERED),
            (Vm.SHELVED, compute.shelved_offload_time, Event.OFFLOAD_ORDERED),
            (Vm.RESCUED, compute.rescue_timeout, Event.UNRESCUE_ORDERED),
        ):
            if seconds > 0:
                yield vm, seconds, event

    async def _end_builds(self) -> int:
        """Builds that take too long end in error; their hosts find out at their next report and clean up."""
        limit = self._config.compute.instance_build_timeout
        if limit <= 0:
            return 0
        ended, before = 0, self._clock.now() - timedelta(seconds=limit)
        for server in await self._servers.building_since(before, BATCH):
            fault = Fault(code=500, message=f"The build took longer than {limit:.0f} s.")
            try:
                await self._servers.advance(server.id, server.task_id or "", Event.BUILD_FAILED, fault=fault)
                ended += 1
            except TaskSuperseded:
                continue
        return ended
