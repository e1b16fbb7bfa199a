"""Finding a server a host that takes it: choose by what is known, then claim, which alone decides.

The same for whatever a server wants a host for (a build, a move): what is claimed and how is the caller's.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from novaflow.config import Scheduler
from novaflow.db.companions import Companions
from novaflow.db.grouping import GroupForbids
from novaflow.errors import NoValidHost
from novaflow.hosts import Host
from novaflow.models import RequestSpec
from novaflow.placement.asking import Ask
from novaflow.placement.choose import choose, choose_several
from novaflow.placement.ranking import Ranking
from novaflow.placement.rules.capacity import ratios_of
from rpc.tracing import Tracer
from services.host_states import HostStates

Claim = Callable[[str, Scheduler], Awaitable[bool]]
"""Takes the room on the host of this name, held by the ratios of these settings; False when it has too little."""

_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


class Placer:
    """Chooses hosts for servers. `settings` have the filters by our names (novaflow.placement.filters.canonical)."""

    def __init__(
        self,
        states: HostStates,
        companions: Callable[[RequestSpec, str], Awaitable[Companions]],
        settings: Scheduler,
        tracer: Tracer,
        dice: random.Random,
    ) -> None:
        self._states = states
        self._companions = companions
        self._settings = settings
        self._tracer = tracer
        self._dice = dice

    async def claimed(
        self, spec: RequestSpec, server_id: str, tried: Collection[str], refused: dict[str, str], claim: Claim
    ) -> str | None:
        """The host that has taken the server; None, and one more in `refused`, when the chosen one did not after all.

        Raises NoValidHost with every host's reason, and what `claim` raises.
        """
        host = await self.chosen(spec, server_id, tried, refused)
        about = {"server_id": server_id, "host": host.name}
        try:
            with (
                self._states.promise(host.name, spec.flavor.ram_mb),
                self._tracer.span("db", "claim room on the host", attributes=about),
            ):
                is_claimed = await claim(host.name, ratios_of(host, self._settings))
        except GroupForbids as why:
            refused[host.name] = f"claim: {why}"
            return None
        if not is_claimed:
            refused[host.name] = "claim: it has not enough room left"
        return host.name if is_claimed else None

    async def chosen(
        self, spec: RequestSpec, server_id: str, tried: Collection[str] = (), refused: Mapping[str, str] = _NOBODY
    ) -> Host:
        """The best host for a server, of which nothing is claimed yet.

        `tried` are those that failed it, `refused` those that did not take it just now, with what they said. Raises NoValidHost with
        every host's reason, once all that there is was looked at.
        """
        ask = await self._ask(spec, server_id, tried, refused)
        ranking = await self._states.fresh()
        try:
            return self._choose(ranking, ask, server_id)
        except NoValidHost:
            complete = await self._states.complete()
            if complete is None:
                raise
            return self._choose(complete, ask, server_id)

    async def several(self, spec: RequestSpec, count: int) -> list[Host]:
        """A host for each of `count` servers that do not exist yet. Raises NoValidHost unless all of them fit."""
        ask = await self._ask(spec, "")
        return choose_several(await self._states.fresh(), ask, count, self._dice)

    def _choose(self, ranking: Ranking, ask: Ask, server_id: str) -> Host:
        with self._tracer.span("step", "filter and weigh hosts", attributes={"server_id": server_id}) as span:
            host = choose(ranking, ask, self._dice)
            span.attributes |= {"hosts": len(ranking), "host": host.name}
            return host

    async def _ask(
        self, spec: RequestSpec, server_id: str, tried: Collection[str] = (), refused: Mapping[str, str] = _NOBODY
    ) -> Ask:
        others = await self._companions(spec, server_id)
        return Ask(
            spec=spec,
            tried=frozenset(tried),
            refused=refused,
            group=others.group,
            homes=others.homes,
            settings=self._settings,
        )
