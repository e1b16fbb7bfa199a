"""Clearing up on a host where a server will not be any more, because its move failed or because it was deleted while it moved.

An order to clear up may come late, when the server has long come to this host after all. So the conductor is asked whether what is here
is wanted, with the server's turn held.
"""

import logging

from novaflow.hosts import Verdict
from novaflow.messages import GuestAsk, ServerOrder
from services.compute.arrivals import Arrivals
from services.compute.host import ComputeHost
from services.compute.transfer import Offers

log = logging.getLogger(__name__)


class Leftovers:
    """Answers to the orders to clear up."""

    def __init__(self, host: ComputeHost, offers: Offers, arrivals: Arrivals) -> None:
        self._host = host
        self._offers = offers
        self._arrivals = arrivals

    async def rollback_live_migration_at_destination(self, ask: ServerOrder) -> None:
        """The guest goes on at its source: what was made ready for it goes."""
        await self._clear(ask.server_id, takes_over=False)

    async def remove_leftovers(self, ask: GuestAsk) -> None:
        """The server was deleted: whatever is done here for its move is in vain."""
        await self._clear(ask.server_id, takes_over=True)

    async def _clear(self, server_id: str, *, takes_over: bool) -> None:
        async with self._host.slots.hold(server_id, takes_over=takes_over):
            verdict = (await self._host.records.judge([server_id])).get(server_id)
            if verdict is not Verdict.UNWANTED:
                log.info("server %s is %s on host %s: nothing is cleared up", server_id, verdict, self._host.name)
                return
            self._offers.withdraw(self._host.name, server_id)
            await self._arrivals.remove(server_id)
            await self._host.driver.destroy(server_id)
            self._host.told.pop(server_id, None)
