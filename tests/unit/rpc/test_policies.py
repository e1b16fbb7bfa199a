"""What one procedure may have otherwise than its bus: how it is published, when it is acknowledged, how many run at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from novaflow.errors import Codec
from rpc.bus import Bus
from rpc.memory import MemoryBroker, MemoryTransport
from rpc.procedure import Call, Cast, Fanout, Target
from rpc.settings import BusSettings, ProcedureSettings
from rpc.tracing import Discard, Tracer
from rpc.transport import Assurance, Delivery, Destination, Message, Origin, Receive, Role, Subscription
from tests.support.bus import until

NONE, ROUTED, CONFIRMED = Assurance.NONE, Assurance.ROUTED, Assurance.CONFIRMED
DURABLE = ProcedureSettings(delivery="durable")
ICEHOUSE = ProcedureSettings(delivery="icehouse")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    number: int = 0


class Ledger:
    """Notes how deliveries are settled, and settles them."""

    def __init__(self, settled: list[str], origin: Origin) -> None:
        self._settled = settled
        self._origin = origin

    def ack(self, tag: int) -> None:
        self._settled.append("ack")
        self._origin.ack(tag)

    def nack(self, tag: int) -> None:
        self._settled.append("nack")
        self._origin.nack(tag)


class Watched(MemoryTransport):
    """Notes what was sent and what is acknowledged."""

    def __init__(self, settings: BusSettings, broker: MemoryBroker | None = None) -> None:
        super().__init__(broker or MemoryBroker(), settings)
        self.published: list[tuple[Destination, Message]] = []
        self.settled: list[str] = []

    def post(self, to: Destination, message: Message) -> bool:
        is_sent = super().post(to, message)
        if is_sent:
            self.published.append((to, message))
        return is_sent

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        self.published.append((to, message))
        await super().publish(to, message, timeout=timeout)

    async def consume(self, sources: Sequence[Destination], receive: Receive) -> Subscription:
        def watch(delivery: Delivery) -> None:
            receive(msgspec.structs.replace(delivery, origin=Ledger(self.settled, delivery.origin)))

        return await super().consume(sources, watch)

    def bus(self, settings: BusSettings) -> Bus:
        return Bus(self, tracer=Tracer("test", Discard()), errors=Codec(), settings=settings)


def of(kind: Any, wanted: ProcedureSettings) -> Any:
    more = {"reply": int} if kind is Call else {}
    return kind(topic="t", method="m", request=Ask, settings=wanted, **more)


async def asked(settings: BusSettings, procedure: Target) -> Message:
    """What goes out for one request, with somebody there to take it."""
    transport = Watched(settings)
    bus = transport.bus(settings)
    if isinstance(procedure, Call):
        bus.on_call(procedure, _number)
    elif isinstance(procedure, Cast):
        bus.on_cast(procedure, _nothing)
    elif isinstance(procedure, Fanout):
        bus.on_fanout(procedure, _nothing)
    await bus.serve("t")
    if isinstance(procedure, Call):
        assert await bus.call(procedure, Ask()) == 0
    elif isinstance(procedure, Cast):
        await bus.cast(procedure, Ask())
    elif isinstance(procedure, Fanout):
        await bus.fanout(procedure, Ask())
    await bus.close()
    await transport.close()
    (message,) = [message for to, message in transport.published if to.role is not Role.REPLY]
    return message


async def _number(ask: Ask) -> int:
    return ask.number


async def _nothing(ask: Ask) -> None:
    """Handle nothing."""


@pytest.mark.parametrize(
    ("kind", "bus", "wanted", "said", "assurance", "persistent"),
    [
        (Cast, "durable", None, None, CONFIRMED, True),
        (Cast, "durable", ICEHOUSE, None, NONE, False),
        (Cast, "durable", ICEHOUSE, DURABLE, CONFIRMED, True),
        (Cast, "durable", DURABLE, ICEHOUSE, NONE, False),
        (Cast, "icehouse", None, None, NONE, False),
        (Cast, "icehouse", DURABLE, None, CONFIRMED, False),
        (Cast, "icehouse", DURABLE, ICEHOUSE, NONE, False),
        (Call, "durable", None, None, ROUTED, False),
        (Call, "durable", ICEHOUSE, None, NONE, False),
        (Call, "icehouse", None, DURABLE, ROUTED, False),
        (Fanout, "durable", None, None, CONFIRMED, False),
        (Fanout, "durable", None, ICEHOUSE, NONE, False),
        (Fanout, "icehouse", None, None, NONE, False),
    ],
)
async def test_the_users_word_then_the_authors_then_the_buss_decides_how_a_message_is_sent(
    kind: type,
    bus: str,
    wanted: ProcedureSettings | None,
    said: ProcedureSettings | None,
    assurance: Assurance,
    persistent: bool,
) -> None:
    settings = BusSettings(delivery=bus, procedures={"t.m": said} if said else {})

    message = await asked(settings, of(kind, wanted or ProcedureSettings()))

    assert (message.assurance, message.persistent) == (assurance, persistent)


@pytest.mark.parametrize(
    ("delivery", "queues", "persistent"),
    [("durable", "transient", False), ("durable", "quorum", True), ("icehouse", "durable", True)],
)
async def test_messages_are_worth_the_disk_where_their_queues_are(delivery: str, queues: str, persistent: bool) -> None:
    message = await asked(BusSettings(delivery=delivery, queues=queues), of(Cast, DURABLE))

    assert message.persistent == persistent


async def test_only_a_call_has_a_time_to_live() -> None:
    for kind in (Cast, Fanout):
        assert (await asked(BusSettings(), of(kind, ProcedureSettings()))).ttl is None
    ttl = (await asked(BusSettings(), of(Call, ProcedureSettings()))).ttl
    assert ttl is not None
    assert 59.0 < ttl <= 60.0


class Served:
    """A procedure whose handler is watched at its work."""

    def __init__(
        self, settings: BusSettings, procedure: Cast[Ask], work: Callable[[Ask], Awaitable[None]] | None = None
    ) -> None:
        self.transport = Watched(settings)
        self.bus = self.transport.bus(settings)
        self.started: asyncio.Queue[list[str]] = asyncio.Queue()
        self.release = asyncio.Event()
        self.procedure = procedure
        self.bus.on_cast(procedure, work or self._work)

    async def _work(self, ask: Ask) -> None:
        self.started.put_nowait(list(self.transport.settled))
        await self.release.wait()

    async def close(self) -> None:
        await self.bus.close()
        await self.transport.close()


@pytest.mark.parametrize(
    ("bus", "wanted", "before", "after"),
    [
        ("durable", ProcedureSettings(), [], ["ack"]),
        ("durable", ICEHOUSE, ["ack"], ["ack"]),
        ("icehouse", ProcedureSettings(), ["ack"], ["ack"]),
        ("icehouse", DURABLE, [], ["ack"]),
    ],
)
async def test_a_forgetful_procedure_is_acknowledged_before_it_runs_and_a_durable_one_after(
    bus: str, wanted: ProcedureSettings, before: list[str], after: list[str]
) -> None:
    served = Served(BusSettings(delivery=bus), of(Cast, wanted))
    await served.bus.serve("t")
    await served.bus.cast(served.procedure, Ask())

    assert await asyncio.wait_for(served.started.get(), 10.0) == before
    served.release.set()
    await served.close()

    assert served.transport.settled == after


@pytest.mark.parametrize("wanted", [ICEHOUSE, ProcedureSettings(delivery="icehouse", concurrency=1)], ids=str)
async def test_what_was_acknowledged_first_is_settled_once_when_its_handler_is_cancelled(
    wanted: ProcedureSettings, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served(BusSettings(drain_timeout=0.01, prefetch=2), of(Cast, wanted))
    await served.bus.serve("t")
    for _ in range(4):
        await served.bus.cast(served.procedure, Ask())
    await until(lambda: len(served.transport.settled) == 4)

    await served.close()

    assert served.transport.settled == ["ack"] * 4
    assert "t.m was cancelled, and its message is gone" in caplog.text


async def test_what_was_acknowledged_first_is_settled_once_when_its_answer_cannot_be_sent() -> None:
    settings = BusSettings()
    broker = MemoryBroker()
    server, client = Watched(settings, broker), Watched(settings, broker)
    procedure = of(Call, ICEHOUSE)
    serving, asking = server.bus(settings), client.bus(settings)

    async def lose(ask: Ask) -> int:
        server.sever()
        await server.close()
        return 0

    serving.on_call(procedure, lose)
    await serving.serve("t")
    call = asyncio.create_task(asking.call(procedure, Ask(), timeout=0.2))
    await asyncio.wait([call])
    await serving.close()
    await asking.close()
    await client.close()

    assert call.exception() is not None
    assert server.settled == ["ack"]


@pytest.mark.parametrize("delivery", ["durable", "icehouse"])
async def test_no_more_of_a_procedures_handlers_run_than_it_allows_while_others_run_freely(delivery: str) -> None:
    running = most = 0
    done: list[int] = []
    everything = asyncio.Event()

    async def work(ask: Ask) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await others.wait()
        running -= 1
        done.append(ask.number)
        if len(done) == 9:
            everything.set()

    others = asyncio.Event()
    ran = 0

    async def free(ask: Ask) -> None:
        nonlocal ran
        ran += 1
        if ran == 20:
            others.set()

    # Fewer slots on the bus than messages that wait for the procedure's own: they must not fill them.
    settings = BusSettings(delivery=delivery, prefetch=40 if delivery == "durable" else 4)
    served = Served(settings, of(Cast, ProcedureSettings(concurrency=3)), work)
    other = Cast(topic="t", method="free", request=Ask)
    served.bus.on_cast(other, free)
    await served.bus.serve("t")

    for number in range(9):
        await served.bus.cast(served.procedure, Ask(number=number))
    for _ in range(20):
        await served.bus.cast(other, Ask())
    await asyncio.wait_for(everything.wait(), 10.0)
    await served.close()

    assert most == 3
    assert sorted(done) == list(range(9))
    assert served.transport.settled == ["ack"] * 29
