"""Power states bottom-up: what the hypervisor says wins over what the record says.

The rules are those of nova/compute/manager.py `_sync_instance_power_state` (2014.1): a guest that went down by itself makes
an active server stopped, by way of an ordinary stop. (A guest that runs although its server is stopped is the
host's to stop: services.compute.audit.) A server that a task works on is left alone, and so is one that was
written after the power state was seen: such a report was overtaken and tells of an earlier life.
"""

import logging
import uuid
from typing import Final

from novaflow.db.servers import Servers
from novaflow.errors import IllegalTransition, NotFound, ServiceUnavailable, TaskSuperseded, WrongState
from novaflow.messages import STOP_INSTANCE, PowerReport, ServerOrder
from novaflow.models import ADMIN_ROLE, Context, Server
from novaflow.states import Event, Power, Vm
from rpc.bus import Bus
from rpc.errors import Away, Unroutable

DOWN: Final = frozenset({Power.SHUTDOWN, Power.CRASHED, Power.SUSPENDED})
log = logging.getLogger(__name__)


class PowerSync:
    """Answers to `report_power`."""

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
        if server and server.vm is Vm.ACTIVE and ask.power in DOWN:
            log.info("server %s is active and its guest is %s: stopping it", server.id, ask.power.name)
            await self._stop(ask.host, server)

    async def _stop(self, host: str, server: Server) -> None:
        context = internal(server)
        try:
            ordered = await self._servers.order(context, server, "stop", Event.STOP_ORDERED)
        except (WrongState, IllegalTransition, TaskSuperseded, NotFound):
            log.info("server %s was given another task first", server.id)
            return
        if ordered.task_id is None:
            return
        try:
            await self._bus.cast(
                STOP_INSTANCE.at(host), ServerOrder(context=context, server_id=server.id, task_id=ordered.task_id)
            )
        except Unroutable:
            log.warning("host %s is not there to stop server %s; recovery will order it again", host, server.id)


def internal(server: Server) -> Context:
    """The cloud's own wish about a server: an administrator in the server's project, without a user."""
    return Context(request_id=f"req-{uuid.uuid4()}", user_id="", project_id=server.project_id, roles=(ADMIN_ROLE,))
