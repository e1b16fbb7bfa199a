"""A repeat of a handled message is kept from its handler; whatever else comes passes."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.dedup import Deduplicate, RecentIds
from rpc.envelope import Envelope, Kind, Stage
from rpc.procedure import Cast

Run = Callable[[Envelope], Awaitable[None]]


class Ask(msgspec.Struct):
    pass


def message(unique_id: str = "id", **changes: object) -> Envelope:
    plain = Envelope(
        kind=Kind.CAST, stage=Stage.HANDLE, topic="compute", method="do", unique_id=unique_id, request=Ask()
    )
    return msgspec.structs.replace(plain, **changes)


class Handler:
    """Counts how often it ran, and fails as long as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.runs = 0
        self._failures = failures

    async def __call__(self, envelope: Envelope) -> None:
        self.runs += 1
        if self.runs <= self._failures:
            raise RuntimeError("not yet")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_repeat_of_a_handled_message_is_not_handled_again() -> None:
    once, handler = Deduplicate(), Handler()

    for _ in range(3):
        await once(message(), handler)
    await once(message("other"), handler)

    assert (handler.runs, once.repeats) == (2, 2)


async def test_a_retry_of_a_failed_message_is_handled() -> None:
    once, handler = Deduplicate(), Handler(failures=2)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="not yet"):
            await once(message(), handler)
    await once(message(), handler)
    await once(message(), handler)

    assert (handler.runs, once.repeats) == (3, 1)


@pytest.mark.parametrize("kind", [Kind.CALL, Kind.FANOUT])
async def test_calls_and_fanouts_pass_always(kind: Kind) -> None:
    once, handler = Deduplicate(), Handler()

    for _ in range(3):
        await once(message(kind=kind), handler)

    assert (handler.runs, once.repeats) == (3, 0)


async def test_what_is_published_passes() -> None:
    once, handler = Deduplicate(), Handler()

    for _ in range(3):
        await once(message(stage=Stage.PUBLISH), handler)

    assert handler.runs == 3


@pytest.mark.parametrize("unique_id", ["", "x" * 256])
async def test_messages_without_a_usable_id_are_no_repeats_of_each_other(unique_id: str) -> None:
    seen = RecentIds()
    once, handler = Deduplicate(seen=seen), Handler()

    for _ in range(3):
        await once(message(unique_id), handler)

    assert (handler.runs, once.repeats, len(seen)) == (3, 0, 0)


async def test_only_the_procedures_that_are_named_are_looked_at() -> None:
    once, handler = Deduplicate([Cast(topic="compute", method="once", request=Ask)]), Handler()

    for _ in range(2):
        await once(message(method="often"), handler)
        await once(message(method="once"), handler)

    assert (handler.runs, once.repeats) == (3, 1)


async def test_a_repeat_while_the_first_still_runs_waits_and_is_kept_away_when_it_succeeds() -> None:
    once = Deduplicate()
    release, runs = asyncio.Event(), []

    async def work(envelope: Envelope) -> None:
        runs.append(envelope)
        await release.wait()

    first, second = (asyncio.create_task(once(message(), work)) for _ in range(2))
    await asyncio.sleep(0.01)
    assert (len(runs), second.done()) == (1, False)
    release.set()
    await asyncio.gather(first, second)

    assert (len(runs), once.repeats) == (1, 1)


async def test_of_repeats_that_wait_for_a_failure_one_runs_at_a_time() -> None:
    once = Deduplicate()
    outcomes, running, most = [False, False, True], 0, 0

    async def work(envelope: Envelope) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        if not outcomes.pop(0):
            raise RuntimeError("not yet")

    ends = await asyncio.gather(*(once(message(), work) for _ in range(5)), return_exceptions=True)

    assert [type(end) for end in ends].count(RuntimeError) == 2
    assert (most, outcomes, once.repeats) == (1, [], 2)


async def test_a_cancelled_first_makes_room_for_its_repeat() -> None:
    once, started = Deduplicate(), asyncio.Event()

    async def hang(envelope: Envelope) -> None:
        started.set()
        await asyncio.Event().wait()

    handler = Handler()
    first = asyncio.create_task(once(message(), hang))
    await started.wait()
    second = asyncio.create_task(once(message(), handler))
    await asyncio.sleep(0)
    first.cancel()
    await second

    assert handler.runs == 1


async def test_a_waiting_repeat_that_is_cancelled_disturbs_nobody() -> None:
    once, release, handler = Deduplicate(), asyncio.Event(), Handler()

    async def work(envelope: Envelope) -> None:
        await release.wait()

    first = asyncio.create_task(once(message(), work))
    await asyncio.sleep(0)
    second = asyncio.create_task(once(message(), handler))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    release.set()
    await first
    await once(message(), handler)

    assert (handler.runs, once.repeats) == (0, 1)


async def test_a_store_that_fails_to_remember_lets_the_message_come_again() -> None:
    class Forgetful(RecentIds):
        async def add(self, message_id: str) -> None:
            raise ConnectionError("the store is away")

    once, handler = Deduplicate(seen=Forgetful()), Handler()

    for _ in range(2):
        with pytest.raises(ConnectionError):
            await once(message(), handler)

    assert handler.runs == 2


@given(
    seed=st.integers(0, 2**32),
    deliveries=st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.booleans()), max_size=30),
)
def test_whatever_comes_in_whatever_order_a_success_is_the_last_run_and_runs_never_overlap(
    seed: int, deliveries: list[tuple[str, bool]]
) -> None:
    dice = random.Random(seed)
    runs: list[tuple[str, bool]] = []
    running: set[str] = set()

    async def deliver(once: Deduplicate, unique_id: str, succeeds: bool) -> None:
        async def work(envelope: Envelope) -> None:
            assert unique_id == "" or unique_id not in running
            running.add(unique_id)
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            running.discard(unique_id)
            runs.append((unique_id, succeeds))
            if not succeeds:
                raise RuntimeError("no")

        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        await once(message(unique_id), work)

    async def all_of_them() -> int:
        once = Deduplicate()
        ends = await asyncio.gather(
            *(deliver(once, unique_id, succeeds) for unique_id, succeeds in deliveries), return_exceptions=True
        )
        assert all(end is None or type(end) is RuntimeError for end in ends)
        return once.repeats

    repeats = asyncio.run(all_of_them())

    assert len(runs) + repeats == len(deliveries)
    for unique_id in {"a", "b", "c"}:
        mine = [succeeded for ran, succeeded in runs if ran == unique_id]
        wanted = [succeeds for given_id, succeeds in deliveries if given_id == unique_id]
        assert True not in mine[:-1]
        assert mine.count(True) == (True in wanted)
    assert [succeeded for ran, succeeded in runs if ran == ""].count(True) == deliveries.count(("", True))


@given(
    count=st.integers(1, 5),
    seconds=st.integers(1, 10),
    steps=st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcdefgh"), st.booleans()), max_size=60),
)
def test_what_is_remembered_is_the_last_ids_within_the_time_and_nothing_else(
    count: int, seconds: int, steps: list[tuple[int, str, bool]]
) -> None:
    clock = Clock()
    ids = RecentIds(count=count, seconds=seconds, clock=clock)
    added: list[tuple[float, str]] = []  # the model: every id at its latest time, oldest first

    async def play() -> None:
        for pause, name, adds in steps:
            clock.now += pause
            if adds:
                await ids.add(name)
                added[:] = [(at, other) for at, other in added if other != name] + [(clock.now, name)]
            fresh = {other for at, other in added[-count:] if clock.now - at < seconds}
            assert {other for other in "abcdefgh" if await ids.has(other)} == fresh
            assert len(ids) == len(fresh)

    asyncio.run(play())


@pytest.mark.parametrize(("count", "seconds"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, float("nan"))])
def test_a_memory_that_cannot_hold_anything_is_refused(count: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="remember nothing"):
        RecentIds(count=count, seconds=seconds)
