"""What is counted, counted again: quota and the room on hosts against the servers themselves.

Counters change in the transactions that change servers, so nothing is ever found here unless somebody wrote into the tables by hand
or a bug did. It is corrected and said, loudly.
"""

import logging
from collections.abc import Awaitable, Callable

from novaflow.clock import Clock
from novaflow.db.hosts import Hosts
from novaflow.db.quotas import Quotas
from novaflow.errors import NovaflowError

log = logging.getLogger(__name__)


class Bookkeeper:
    """Counts again; `report` hears each correction as one sentence."""

    def __init__(self, hosts: Hosts, quotas: Quotas, clock: Clock, report: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._quotas = quotas
        self._clock = clock
        self._report = report

    async def run(self, interval: float) -> None:
        """Count every `interval` seconds, until cancelled. An outage is waited out."""
        while True:
            await self._clock.sleep(interval)
            for count in (self.count_quotas, self.count_rooms):
                await self._surviving(count)

    async def count_quotas(self) -> int:
        """Every project's and user's usage; answers how many were wrong."""
        corrections = await self._quotas.reconcile()
        for one in corrections:
            who = " and ".join(
                f"{kind} {name}" for kind, name in (("project", one.project_id), ("user", one.user_id)) if name
            )
            self._report(f"quota of {who}: {one.counted} was counted, {one.actual} is in use")
        return len(corrections)

    async def count_rooms(self) -> int:
        """What servers take on every host; answers how many hosts were wrong."""
        wrong = 0
        for name in await self._hosts.names():
            if await self._hosts.reconcile(name):
                wrong += 1
                self._report(f"host {name}: its counters were not what its servers take")
        return wrong

    async def _surviving(self, count: Callable[[], Awaitable[int]]) -> None:
        try:
            await count()
        except NovaflowError as error:
            log.warning("quota and room are counted again later: %s", error)
        except Exception:
            log.exception("quota and room could not be counted")
