"""What a host has and should not have: guests, parked guests and files that a crash, a lost order or an absence left behind.

The database decides what is wanted. What is there is listed before the database is asked: a server is placed on this host, or moves to
it, before anything of it is made here. So what nobody wants afterwards is a stray. Before anything is removed the database is
asked once more, with the server's turn held. A server that this database has never heard of is left alone and said: an
emptied or restored database must not empty the hosts. (What is not novaflow's at all is not even seen here.)
"""

import logging
from collections.abc import Sequence
from typing import Final

from novaflow.hosts import Verdict
from novaflow.messages import HostedServer
from novaflow.states import Task, Vm
from services.compute.host import ComputeHost

OFF: Final = frozenset({Vm.STOPPED, Vm.SOFT_DELETED, Vm.SUSPENDED, Vm.SHELVED})
log = logging.getLogger(__name__)


class Strays:
    """Finds and removes what is not wanted on one host."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._told: set[str] = set()

    async def clear(self, guests: Sequence[str]) -> int:
        """Remove what is unwanted among these guests, the parked ones and what is left over; answers how many."""
        driver = self._host.driver
        found = dict.fromkeys([*guests, *await driver.parked(), *await driver.leftovers()])
        verdicts = await self._host.records.judge(list(found))
        removed = 0
        for server_id, verdict in verdicts.items():
            if verdict is Verdict.UNWANTED:
                removed += await self._remove(server_id)
            elif verdict is Verdict.UNKNOWN:
                self._tell(server_id)
        return removed

    async def take_back(self, servers: Sequence[HostedServer]) -> int:
        """Make guests again of parked ones whose server lives here and does not move any more; answers how many."""
        taken, parked = 0, set(await self._host.driver.parked())
        for server in servers:
            if server.id in parked and server.task is Task.IDLE and server.vm is not Vm.RESIZED:
                taken += await self._take_back(server)
        return taken

    async def _remove(self, server_id: str) -> bool:
        async with self._host.slots.hold(server_id):
            if (await self._host.records.judge([server_id])).get(server_id) is not Verdict.UNWANTED:
                return False
            log.warning(
                "host %s: removing what is left here of server %s, which is not wanted", self._host.name, server_id
            )
            await self._host.driver.destroy(server_id)
            self._host.told.pop(server_id, None)
            return True

    async def _take_back(self, server: HostedServer) -> bool:
        """Its move ended without this host: a source that was away, an order that was given up."""
        async with self._host.slots.hold(server.id):
            verdict = (await self._host.records.judge([server.id])).get(server.id)
            if verdict is not Verdict.PLACED or server.id not in await self._host.driver.parked():
                return False
            has_guest = server.id in {guest.server_id for guest in await self._host.driver.guests()}
            if has_guest:
                log.warning("host %s: forgetting what server %s was before its move", self._host.name, server.id)
                await self._host.driver.forget_parked(server.id)
            else:
                log.warning("host %s: server %s is a guest again, its move is over", self._host.name, server.id)
                await self._host.driver.unpark(server.id, is_running=server.vm not in OFF)
            return True

    def _tell(self, server_id: str) -> None:
        if server_id not in self._told:
            self._told.add(server_id)
            log.error(
                "host %s has something of server %s, which the database does not know: it is left alone",
                self._host.name,
                server_id,
            )
