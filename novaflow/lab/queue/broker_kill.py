"""What a killed broker costs: casts and calls run through the bus, the broker is killed in the middle and comes back.

Every message has a number, so afterwards it is known of each whether its sender was told that it was sent, and how often it
was handled. In durable delivery nothing that was accepted may be missing.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from rpc.bus import Bus, BusSettings
from rpc.connect import open_transport
from rpc.errors import BusError
from rpc.procedure import Call, Cast
from rpc.tracing import Discard, Tracer
from rpc.transport import Transport

_PAUSE: Final = 0.02  # seconds between two messages of one sender, at most
_WORK: Final = 0.004  # seconds that a handler takes, at most: so some are running when the broker dies
_GRACE: Final = 30.0  # seconds that a message may wait for the broker beyond its time away
_HANGS: Final = 10.0  # seconds beyond its deadline after which a message hangs
_QUIET: Final = 10.0  # seconds without anything handled after which what is missing is lost
_EARLIEST, _LATEST = 0.3, 0.5  # of the load's time, when the broker is killed
_POLL: Final = 0.05


class Breakable(Protocol):
    """A broker that can be killed: one node, or a cluster of which one node dies."""

    @property
    def url(self) -> str:
        """Where its nodes listen, with credentials."""
        ...

    async def kill(self) -> None:
        """End it, or one of its nodes, as a crash would."""
        ...

    async def restart(self) -> None:
        """Start what was killed, and wait until it takes connections."""
        ...


@dataclass(frozen=True, kw_only=True)
class KillPlan:
    """`in_flight` casts and as many calls at a time, for `seconds` besides the time that the broker is away, which is at least `down`.

    `delivery` and `queues` are those of the bus's settings. Raises ValueError when they do not go together.
    """

    delivery: str = "durable"
    queues: str = ""
    in_flight: int = 32
    seconds: float = 10.0
    down: float = 2.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.settings()

    def settings(self) -> BusSettings:
        """Of every bus: a message may wait until the broker is back."""
        return BusSettings(delivery=self.delivery, queues=self.queues, publish_timeout=self.down + _GRACE)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How casts, or calls, fared.

    `accepted` is how many their senders were told were sent (casts) or were answered (calls); `raised` counts the others
    by error. `gap_s` is the longest wait for a cast to be handled or a call to be answered from the kill on;
    `recovered_s` how long after the broker's return the first was, None if none was.
    """

    sent: int
    accepted: int
    raised: dict[str, int]
    hung: int
    gap_s: float
    recovered_s: float | None
    slowest_s: float


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a kill cost.

    Of the casts, `lost` were accepted and never handled, `twice` handled more than once, `unsure` handled although their
    sender was told that they failed. `dead` lie in the dead-letter queue. `asked_again` are calls that the bus repeated;
    `reconnects` counts those of both sides.
    """

    killed_after_s: float
    away_s: float
    casts: Service
    calls: Service
    lost: int
    twice: int
    unsure: int
    dead: int
    redelivered: int
    asked_again: int
    reconnects: int


class _Numbered(msgspec.Struct, frozen=True):
    n: int


class _NoErrors:
    """No error is expected here."""

    def encode(self, error: Exception) -> None: ...

    def decode(self, code: str, fields: dict[str, object]) -> None: ...


_ORDER: Final = Cast(topic="bench-kill", method="order", request=_Numbered)
_ASK: Final = Call(topic="bench-kill", method="ask", request=_Numbered, reply=_Numbered)


class _Senders:
    """Those who cast, or those who call: what they were told of which message, and when."""

    def __init__(self, send: Callable[[_Numbered], Awaitable[object]], patience: float) -> None:
        self._send = send
        self._patience = patience
        self._numbers = itertools.count()
        self.accepted: dict[int, float] = {}
        self.raised: dict[int, str] = {}
        self.hung = 0
        self.slowest = 0.0

    async def run(self, chance: random.Random, ended: asyncio.Event) -> None:
        """One sender, one message after another until the end."""
        while not ended.is_set():
            number = next(self._numbers)
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._patience):
                    await self._send(_Numbered(number))
                self.accepted[number] = time.monotonic()
            except BusError as error:
                self.raised[number] = type(error).__name__
            except TimeoutError:
                self.hung += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(chance.uniform(0, _PAUSE))

    def fared(self, served: Iterable[float], killed: float, back: float) -> Service:
        """The sum of it; `served` is when each message was handled or answered."""
        times = sorted(served)
        return Service(
            sent=len(self.accepted) + len(self.raised) + self.hung,
            accepted=len(self.accepted),
            raised=dict(Counter(self.raised.values())),
            hung=self.hung,
            gap_s=round(gap(times, killed), 2),
            recovered_s=recovery(times, back),
            slowest_s=round(self.slowest, 2),
        )


class _Handlers:
    """Those who serve: which cast was handled how often, and when something was."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.handled: Counter[int] = Counter()
        self.times: list[float] = []

    async def obey(self, order: _Numbered) -> None:
        await asyncio.sleep(self._chance.uniform(0, _WORK))
        self.handled[order.n] += 1
        self.times.append(time.monotonic())

    async def answer(self, ask: _Numbered) -> _Numbered:
        await asyncio.sleep(self._chance.uniform(0, _WORK))
        return ask

    async def until_all(self, accepted: Iterable[int]) -> None:
        """Wait until every accepted cast was handled, or nothing has been for too long."""
        missing = set(accepted) - self.handled.keys()
        seen, since = -1, time.monotonic()
        while missing and time.monotonic() - since < _QUIET:
            if len(self.times) != seen:
                seen, since = len(self.times), time.monotonic()
            await asyncio.sleep(_POLL)
            missing -= self.handled.keys()


async def broker_kill(broker: Breakable, plan: KillPlan, tell: Callable[[str], None]) -> Findings:
    """Put the load on the broker, which runs, kill it, restart it, and count.

    Servers and senders have connections of their own, as processes would. Raises what the broker's start raises.
    """
    patience = plan.settings().publish_timeout + _HANGS
    handlers = _Handlers(random.Random(plan.seed))  # noqa: S311  # no secret
    async with _connected(broker.url, plan) as (server, servers), _connected(broker.url, plan) as (client, clients):
        server.on_cast(_ORDER, handlers.obey)
        server.on_call(_ASK, handlers.answer)
        await server.serve(_ORDER.topic)
        casts = _Senders(lambda one: client.cast(_ORDER, one), patience)
        calls = _Senders(lambda one: client.call(_ASK, one, timeout=plan.settings().publish_timeout), patience)
        ended = asyncio.Event()
        began = time.monotonic()
        tell(f"{plan.in_flight} casts and {plan.in_flight} calls at a time for {plan.seconds:g} s")
        async with asyncio.TaskGroup() as group:
            for number, senders in itertools.product(range(plan.in_flight), (casts, calls)):
                chance = random.Random(f"{plan.seed} {number}")  # noqa: S311
                group.create_task(senders.run(chance, ended))
            breaking = group.create_task(_break(broker, plan, ended, tell))
        killed, back = breaking.result()
        tell("waiting for what is still on its way")
        await handlers.until_all(casts.accepted)
    handled = handlers.handled
    return Findings(
        killed_after_s=round(killed - began, 2),
        away_s=round(back - killed, 2),
        casts=casts.fared(handlers.times, killed, back),
        calls=calls.fared(calls.accepted.values(), killed, back),
        lost=len(casts.accepted.keys() - handled.keys()),
        twice=sum(times > 1 for times in handled.values()),
        unsure=len(casts.raised.keys() & handled.keys()),
        dead=server.counts["dead"],
        redelivered=server.counts["redelivered"],
        asked_again=client.counts["asked_again"],
        reconnects=servers.reconnects + clients.reconnects,
    )


def gap(times: Iterable[float], killed: float) -> float:
    """The longest wait between two of these ordered times that ended after the kill; 0 when nothing came after it."""
    return max((after - before for before, after in itertools.pairwise(times) if after > killed), default=0.0)


def recovery(times: Iterable[float], back: float) -> float | None:
    """Seconds from the broker's return to the first of these ordered times after it; None when there is none."""
    first = next((moment for moment in times if moment >= back), None)
    return None if first is None else round(first - back, 2)


async def _break(
    broker: Breakable, plan: KillPlan, ended: asyncio.Event, tell: Callable[[str], None]
) -> tuple[float, float]:
    """Kill the broker at a moment drawn from the seed, and end the load some time after its return.

    Answers when it was killed and when it was back.
    """
    chance = random.Random(f"{plan.seed} kill")  # noqa: S311  # no secret
    before = plan.seconds * chance.uniform(_EARLIEST, _LATEST)
    await asyncio.sleep(before)
    await broker.kill()
    killed = time.monotonic()
    tell(f"the broker is killed, for {plan.down:g} s")
    await asyncio.sleep(plan.down)
    await broker.restart()
    back = time.monotonic()
    tell(f"the broker is back after {back - killed:.1f} s")
    await asyncio.sleep(plan.seconds - before)
    ended.set()
    return killed, back


@asynccontextmanager
async def _connected(url: str, plan: KillPlan) -> AsyncIterator[tuple[Bus, Transport]]:
    settings = plan.settings()
    transport = await open_transport(url, settings)
    bus = Bus(transport, tracer=Tracer("bench", Discard()), errors=_NoErrors(), settings=settings)
    try:
        yield bus, transport
    finally:
        await bus.close()
        await transport.close()
