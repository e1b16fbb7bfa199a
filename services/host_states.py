"""The hosts that builds are decided upon: kept in order in this process, and brought up to date before each decision.

A decision must see whatever was committed before the build was taken up (a host disabled, room made free), and a burst of builds
must neither read once each nor all see the same emptiest host. With thousands of hosts it must not read them all either, so what has changed
is read. What that cannot show is found later: a host that was deleted, and a change whose transaction took longer than `OVERLAP`, by
a read of everything every `EVERYTHING_EVERY` seconds and before a build is given up. Until then the claim in the database, which counts alone, refuses.
"""

import asyncio
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from novaflow.clock import Clock
from novaflow.config import Scheduler
from novaflow.db.host_changes import Changes, SeenHost, Work
from novaflow.hosts import Aggregate, Host
from novaflow.placement.filters import READ_SERVERS
from novaflow.placement.pulse import Pulse
from novaflow.placement.ranking import Ranking

OVERLAP: Final = timedelta(seconds=1)  # a transaction that changes a host may take so long
EVERYTHING_EVERY: Final = 60.0  # seconds
GIVE_UP_AGE: Final = 5.0  # seconds that the last read of everything may be old when a build is given up
BEATS_PER_DOWN_TIME: Final = 4


class Source(Protocol):
    """Where hosts are read; novaflow.db.host_changes.HostChanges."""

    async def all(self) -> Changes:
        """Every host."""
        ...

    async def since(self, moment: datetime) -> Changes:
        """Those that changed at or after this moment of the database's clock."""
        ...

    async def beats(self) -> Iterable[tuple[str, datetime]]:
        """When each host last showed that it lives."""
        ...

    async def aggregates(self) -> Mapping[str, tuple[Aggregate, ...]]:
        """The aggregates of each host."""
        ...

    async def work(self, names: Iterable[str] | None = None) -> Mapping[str, Work]:
        """What the servers of these hosts, or of all, say."""
        ...


@dataclass(eq=False)
class _Promise:
    host: str
    ram_mb: int
    is_claimed: bool = False


@dataclass
class _Known:
    """What was read. `at` and `mark` are the database's, the other times are seconds of our own clock."""

    at: datetime | None = None
    mark: str = ""
    everything_at: float = -math.inf
    beats_at: float = -math.inf
    aggregates: Mapping[str, tuple[Aggregate, ...]] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)


class HostStates:
    """Reads for many at a time and remembers what was promised since.

    A read serves everybody who asked before it began. A promise counts until a read that began after its claim shows it.
    """

    def __init__(
        self, source: Source, settings: Scheduler, clock: Clock, down_time: float, dice: random.Random | None = None
    ) -> None:
        self._source = source
        self._clock = clock
        self.ranking = Ranking(settings, dice=dice)
        self._pulse = Pulse(down_time)
        self._beats_every = down_time / BEATS_PER_DOWN_TIME
        self._reads_servers = bool(settings.io_ops_weight or READ_SERVERS.intersection(settings.filters))
        self._known = _Known()
        self._begun = 0
        self._done = 0
        self._reading = asyncio.Lock()
        self._promises: set[_Promise] = set()

    async def fresh(self) -> Ranking:
        """Every host, as of some moment after this call. It is ours: what is decided upon it must not wait meanwhile."""
        asked_at = self._begun
        async with self._reading:
            if self._done <= asked_at:
                await self._read()
            self._bury()
            return self.ranking

    async def complete(self) -> Ranking | None:
        """The same, from everything there is; None when everything was read a moment ago."""
        async with self._reading:
            if self._clock.monotonic() - self._known.everything_at < GIVE_UP_AGE:
                return None
            self._known.at = None
            await self._read()
            self._bury()
            return self.ranking

    @contextmanager
    def promise(self, host: str, ram_mb: int) -> Iterator[None]:
        """Count `ram_mb` against `host` while the block claims it, and until a later read."""
        promise = _Promise(host, ram_mb)
        self._promises.add(promise)
        self.ranking.promise(host, ram_mb)
        try:
            yield
        finally:
            promise.is_claimed = True

    async def _read(self) -> None:
        self._begun += 1
        number = self._begun
        shown = {promise for promise in self._promises if promise.is_claimed}
        now = self._clock.monotonic()
        known = self._known
        if known.at is None or now - known.everything_at >= EVERYTHING_EVERY:
            await self._read_everything(now)
        else:
            await self._read_changes(known.at - OVERLAP)
            if now - known.beats_at >= self._beats_every:
                await self._read_beats(now)
        for promise in shown:
            self.ranking.promise(promise.host, -promise.ram_mb)
        self._promises -= shown
        self._done = number

    async def _read_everything(self, now: float) -> None:
        changes = await self._source.all()
        known = self._known
        known.aggregates = await self._source.aggregates()
        if self._reads_servers:
            known.work = dict(await self._source.work())
        known.everything_at = known.beats_at = now
        known.at, known.mark = changes.at, changes.aggregates
        self.ranking.replace([self._whole(one) for one in changes.hosts])

    async def _read_changes(self, moment: datetime) -> None:
        changes = await self._source.since(moment)
        known = self._known
        if changes.aggregates != known.mark:
            await self._read_aggregates()
        if self._reads_servers and changes.hosts:
            names = [one.host.name for one in changes.hosts]
            work = await self._source.work(names)
            known.work |= {name: work.get(name, _IDLE) for name in names}
        known.at, known.mark = changes.at, changes.aggregates
        for one in changes.hosts:
            self._put(self._whole(one))

    async def _read_beats(self, now: float) -> None:
        """Who lives now; and, since nothing marks it, what the servers do."""
        for name, seen in await self._source.beats():
            self._pulse.saw(name, seen)
            host = self.ranking.get(name)
            if host is not None and not host.is_up and self._pulse.is_up(name, self._clock.now()):
                self._put(msgspec.structs.replace(host, is_up=True))
        if self._reads_servers:
            self._known.work = dict(await self._source.work())
            for host in list(self.ranking):
                work = self._known.work.get(host.name, _IDLE)
                self._put(msgspec.structs.replace(host, io_ops=work.io_ops, flavor_ids=work.flavor_ids))
        self._known.beats_at = now

    async def _read_aggregates(self) -> None:
        self._known.aggregates = await self._source.aggregates()
        for host in list(self.ranking):
            self._put(msgspec.structs.replace(host, aggregates=self._known.aggregates.get(host.name, ())))

    def _whole(self, one: SeenHost) -> Host:
        """The host with all that is known of it."""
        name = one.host.name
        self._pulse.saw(name, one.seen)
        work = self._known.work.get(name, _IDLE)
        return msgspec.structs.replace(
            one.host,
            is_up=one.host.is_up and self._pulse.is_up(name, self._clock.now()),
            aggregates=self._known.aggregates.get(name, ()),
            io_ops=work.io_ops,
            flavor_ids=work.flavor_ids,
        )

    def _put(self, host: Host) -> None:
        if self.ranking.get(host.name) != host:
            self.ranking.put(host)

    def _bury(self) -> None:
        for name in self._pulse.died(self._clock.now()):
            host = self.ranking.get(name)
            if host is not None and host.is_up:
                self.ranking.put(msgspec.structs.replace(host, is_up=False))


_IDLE: Final = Work(0, ())
