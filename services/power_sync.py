"""Power states bottom-up: what the hypervisor says wins over what the record says.

The rules are those of nova/compute/manager.py `_sync_instance_power_state`: a guest that went down by itself makes an active or
a paused server stopped, by way of an ordinary stop. (A guest that runs although its server is stopped is the
host's to stop: services.compute.audit.) A server that a task works on is left alone, and so is one that was
written after the power state was seen: such a report was overtaken and tells of an earlier life.

Nova only logs that an active server has no guest at all. Here it ends in error with a fault that says so, once its host has
looked twice: a server never claims to run where nothing does.
"""

import logging
from typing import Final

from novaflow.db.servers import Servers
from novaflow.errors import NotFound, ServiceUnavailable
from novaflow.messages import GuestLost, PowerReport
from novaflow.models import Fault, Server
from novaflow.states import Event, Power, Vm
from rpc.bus import Bus
from rpc.errors import Away
from services.internal_orders import internal, order_internally

DOWN: Final = frozenset({Power.SHUTDOWN, Power.CRASHED, Power.SUSPENDED})
_GOES_DOWN: Final = {Vm.ACTIVE: DOWN, Vm.PAUSED: frozenset({Power.SHUTDOWN, Power.CRASHED})}
log = logging.getLogger(__name__)


class PowerSync:
    """Answers to `report_power` and `report_lost_guest`."""

    def __init__(self, bus: Bus, servers: Servers) -> None:
        self._bus = bus
        self._servers = servers

    async def report_power(self, ask: PowerReport) -> None:
        """Record the power state of an idle server; order the stop it asks for, as an administrator would.

        A report comes once: while the database is away it must come again (raises Away).
        """
        try:
            await self._record(ask)
        except ServiceUnavailable as error:
            raise Away(str(error)) from error

    async def report_lost_guest(self, ask: GuestLost) -> None:
        """An idle active server without a guest is in error; raises Away as above."""
        try:
            known = await self._servers.get(ask.server_id)
            is_news = known.host == ask.host and known.updated_at <= ask.seen_at
            if is_news and known.vm is Vm.ACTIVE and known.task_id is None:
                log.warning("server %s is active and host %s has no guest of it", known.id, ask.host)
                fault = Fault(code=500, message=f"The guest is gone: host {ask.host} has none of this server.")
                await self._servers.reset(internal(known), known, Event.RESET_TO_ERROR, fault=fault)
        except NotFound:
            return
        except ServiceUnavailable as error:
            raise Away(str(error)) from error

    async def _record(self, ask: PowerReport) -> None:
        try:
            known = await self._servers.get(ask.server_id)
        except NotFound:
            return
        if known.updated_at > ask.seen_at:
            return
        server = await self._servers.record_power(ask.host, ask.server_id, ask.power)
        if server is None and known.task_id is None and (known.host, known.power) == (ask.host, ask.power):
            server = known  # recorded before, by a conductor that may have ended before it ordered the stop
        if server and _is_down(server, ask.power):
            log.info("server %s is %s and its guest is %s: stopping it", server.id, server.vm, ask.power.name)
            await order_internally(self._bus, self._servers, server, Event.FORCE_STOP_ORDERED)


def _is_down(server: Server, power: Power) -> bool:
    return power in _GOES_DOWN.get(server.vm, ())
