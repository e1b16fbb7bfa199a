"""Whether a process can do its work now: its services serve, its broker is connected, its database answers.

The answer comes from the loop that does the work, so a process that is stuck gives none. It is about now: a broker that went
away a moment ago is a reason already, and one that came back is none any more. Meant for load balancers, container engines and
people; whether to start a process again is the supervisor's affair, since a broker's outage does not mend by that.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Final

import msgspec

from novaflow.errors import NovaflowError
from services.vitals import Phase, Records, Vitals

_DATABASE_TIMEOUT: Final = 2.0  # seconds; below the 5 s that compose grants a health check
_FRESH: Final = 1.0  # seconds for which an answer of the database is told again, so that asking us is no load to it
log = logging.getLogger(__name__)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `broker` and `database` are None in a process that has none; `reasons` is empty when all is well."""

    status: str  # ok, or unavailable
    process: str
    services: dict[str, str]
    broker: str | None
    database: str | None
    reasons: list[str]

    @property
    def http_status(self) -> HTTPStatus:
        """200 or 503."""
        return HTTPStatus.SERVICE_UNAVAILABLE if self.reasons else HTTPStatus.OK


class HealthCheck:
    """Looks at one process."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._is_answering = False

    async def look(self) -> Health:
        """How it is now; takes at most the time the database is given to answer."""
        vitals = self._vitals
        reasons = [f"{name} is {phase}" for name, phase in vitals.phases.items() if phase is not Phase.READY]
        if not vitals.phases:
            reasons.append("no service runs yet")
        broker = database = None
        if vitals.transport is not None:
            broker = "connected" if vitals.transport.is_connected else "away"
        if vitals.database is not None:
            database = "reachable" if await self._answers(vitals.database) else "away"
        reasons += [
            f"the {name} is away" for name, state in (("broker", broker), ("database", database)) if state == "away"
        ]
        return Health(
            status="unavailable" if reasons else "ok",
            process=vitals.process,
            services={name: str(phase) for name, phase in vitals.phases.items()},
            broker=broker,
            database=database,
            reasons=reasons,
        )

    async def _answers(self, database: Records) -> bool:
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() - self._asked_at > _FRESH:
                self._is_answering = await _answers(database)
                self._asked_at = loop.time()
            return self._is_answering


async def _answers(database: Records) -> bool:
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT):
            await database.ask()
    except (NovaflowError, TimeoutError) as error:
        log.info("the database did not answer a health check: %s", str(error) or "not in time")
        return False
    return True
