"""Rounds and their runs, with contestants that need no broker."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from novaflow.lab.queue.figures import Measurement
from novaflow.lab.queue.rounds import Rounds, schedule
from novaflow.lab.queue.runs import Broker, CannotDo, Plan, Run, RunFailed, measure
from tests.support.contestants import scripted

BROKER = Broker(url="amqp://someone:very-secret@127.0.0.1:1/")


class Notes:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.runs = 0
        self.done = 0
        self.seen: list[Measurement] = []
        self.absent: dict[str, str] = {}

    def planned(self, runs: int) -> None:
        self.runs = runs

    def begun(self, what: str) -> None:
        pass

    def ended(self, runs: int) -> None:
        self.done += runs

    def measured(self, measurement: Measurement) -> None:
        self.seen.append(measurement)

    def left_out(self, contestant: str, reason: str) -> None:
        self.absent[contestant] = reason


def plan(**more: Any) -> Plan:
    given = {"pattern": "call", "durability": "transient", "sizes": (100,), "in_flight": (1,), "rounds": 1}
    return Plan(**{**given, "messages": 50, **more})


def run(behaviour: str, **more: Any) -> Run:
    return Run(contestant=scripted("one", behaviour), plan=plan(**more), in_flight=1, messages=50, number=0)


def order_of(seed: int) -> list[tuple[int, int, str]]:
    asked = plan(rounds=3, in_flight=(1, 2), seed=seed)
    runs = schedule(asked, [scripted(name) for name in "abc"])
    return [(number, in_flight, one.name) for number, in_flight, one in runs]


def test_every_contestant_runs_once_at_each_level_of_each_round_in_an_order_of_the_seed() -> None:
    order = order_of(4)

    assert set(Counter(order).values()) == {1}
    assert [place[:2] for place in order] == [(n, level) for n in range(3) for level in (1, 2) for _ in "abc"]
    assert len({tuple(order[first + place][2] for place in range(3)) for first in range(0, 18, 3)}) > 1
    assert order == order_of(4) != order_of(5)


async def test_a_run_counts_what_was_handled(tmp_path: Path) -> None:
    found = await measure(run("well"), BROKER, tmp_path)

    assert (found.messages, found.handled, found.lost, found.duplicated) == (50, 50, 0, 0)
    assert found.broker_cpu_s is None


async def test_losses_and_duplicates_are_counted(tmp_path: Path) -> None:
    for behaviour in ("loses", "doubles"):
        (tmp_path / behaviour).mkdir()

    lossy = await measure(run("loses"), BROKER, tmp_path / "loses")
    doubling = await measure(run("doubles"), BROKER, tmp_path / "doubles")

    assert (lossy.lost, lossy.duplicated) == (5, 0)
    assert (doubling.lost, doubling.duplicated) == (0, 3)


async def test_a_fanout_is_counted_at_every_listener(tmp_path: Path) -> None:
    found = await measure(run("loses", pattern="fanout", listeners=3), BROKER, tmp_path)

    assert (found.copies, found.lost) == (3, 15)
    assert found.rate == pytest.approx(45 / found.seconds)


async def test_what_a_contestant_complains_of_is_told_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="cannot connect to amqp://someone:") as caught:
        await measure(run("breaks"), BROKER, tmp_path)

    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in repr(BROKER)


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        ("refuses", CannotDo, "no calls of this kind"),
        ("mumbles", RunFailed, "report cannot be read"),
        ("never starts", RunFailed, "server ended with status 1: no such exchange"),
    ],
)
async def test_a_run_without_numbers_says_why(
    tmp_path: Path, behaviour: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await measure(run(behaviour), BROKER, tmp_path)


async def test_who_cannot_do_what_is_asked_is_left_out_and_the_others_run() -> None:
    notes = Notes()
    contestants = [
        scripted("good"),
        scripted("refusing", "refuses"),
        scripted("castless", patterns=frozenset({"cast"})),
        scripted("queueless", durabilities=frozenset({"durable"})),
    ]

    await Rounds(plan(messages=None, seconds=0.1), BROKER, notes).run(contestants)

    assert notes.absent == {
        "castless": "it has no call",
        "queueless": "it has no transient queues",
        "refusing": "it has no calls of this kind",
    }
    assert {one.contestant for one in notes.seen} == {"good"}
    assert notes.done == notes.runs


async def test_a_failure_is_a_measurement_too_and_costs_only_that_contestant() -> None:
    notes = Notes()

    await Rounds(plan(rounds=2, messages=None, seconds=0.1), BROKER, notes).run(
        [scripted("good"), scripted("broken", "breaks")]
    )

    assert [one.contestant for one in notes.seen if one.failure is None] == ["good", "good"]
    (failed,) = [one for one in notes.seen if one.failure is not None]
    assert failed.contestant == "broken"
    assert notes.done == notes.runs


async def test_a_run_has_as_many_messages_as_fit_into_its_time() -> None:
    notes = Notes()

    await Rounds(plan(messages=None, seconds=0.2), BROKER, notes).run([scripted("fast")])

    (found,) = notes.seen
    assert 100 <= found.messages <= 300_000
    assert found.messages > 1000
