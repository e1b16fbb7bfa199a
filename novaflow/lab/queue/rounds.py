"""Interleaved rounds: machines drift, so only contestants of the same rounds are compared.

Every round goes through the numbers in flight, and at each lets every contestant run once, in an order drawn from the
seed. First each has a trial, which settles how many messages make a run of the wanted length.
"""

import itertools
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from novaflow.lab.queue.figures import Measurement
from novaflow.lab.queue.peers import Contestant
from novaflow.lab.queue.runs import Broker, CannotDo, Plan, Run, RunFailed, measure

_TRIAL: Final = 100  # messages of a trial, or four for each in flight
_TRIAL_SECONDS: Final = 0.3  # a shorter trial tells little of the rate
_LEAST: Final = 100
_MOST: Final = 300_000
_TRIAL_ROUND: Final = -1


class Watch(Protocol):
    """Who follows the rounds."""

    def planned(self, runs: int) -> None:
        """So many runs are to come in all."""
        ...

    def begun(self, what: str) -> None:
        """The next run has begun."""
        ...

    def ended(self, runs: int) -> None:
        """So many runs have ended, or are not to come."""
        ...

    def measured(self, measurement: Measurement) -> None:
        """A run gave this, or failed."""
        ...

    def left_out(self, contestant: str, reason: str) -> None:
        """A contestant cannot do what is asked and takes no part."""
        ...


def schedule(plan: Plan, contestants: Sequence[Contestant]) -> Iterator[tuple[int, int, Contestant]]:
    """Round, number in flight and contestant of every run, in order."""
    chance = random.Random(plan.seed)  # noqa: S311  # no secret
    for number, in_flight in itertools.product(range(plan.rounds), plan.in_flight):
        for contestant in chance.sample(contestants, len(contestants)):
            yield number, in_flight, contestant


class Rounds:
    """The measurements of one plan, on one broker."""

    def __init__(self, plan: Plan, broker: Broker, watch: Watch) -> None:
        self._plan = plan
        self._broker = broker
        self._watch = watch
        self._messages: dict[tuple[str, int], int] = {}  # of a run of a contestant at a number in flight

    async def run(self, contestants: Sequence[Contestant]) -> None:
        """Measure round by round; what comes out goes to the watch at once."""
        plan = self._plan
        able = [contestant for contestant in contestants if self._takes_part(contestant)]
        levels = len(plan.in_flight)
        self._watch.planned(len(able) * levels * (plan.rounds + (plan.messages is None)))
        able = [contestant for contestant in able if await self._is_settled(contestant)]
        for number, in_flight, contestant in schedule(plan, able):
            await self._measure(contestant, in_flight, number)

    def _takes_part(self, contestant: Contestant) -> bool:
        plan = self._plan
        if plan.pattern not in contestant.patterns:
            self._watch.left_out(contestant.name, f"it has no {plan.pattern}")
        elif plan.durability not in contestant.durabilities:
            self._watch.left_out(contestant.name, f"it has no {plan.durability} queues")
        else:
            return True
        return False

    async def _is_settled(self, contestant: Contestant) -> bool:
        """Settle how many messages its runs have; False when it can do none of it."""
        plan = self._plan
        for in_flight in plan.in_flight:
            if plan.messages is not None:
                self._messages[contestant.name, in_flight] = plan.messages
                continue
            self._watch.begun(f"trial: {contestant.name}, {in_flight} in flight")
            try:
                self._messages[contestant.name, in_flight] = await self._trial(contestant, in_flight)
            except CannotDo as reason:
                self._watch.left_out(contestant.name, str(reason))
                self._watch.ended(len(plan.in_flight) * (plan.rounds + 1) - plan.in_flight.index(in_flight))
                return False
            except RunFailed as failure:
                self._failed(contestant, in_flight, _TRIAL_ROUND, f"at its trial {failure}")
            self._watch.ended(1)
        return True

    async def _trial(self, contestant: Contestant, in_flight: int) -> int:
        messages = max(_TRIAL, 4 * in_flight)
        while True:
            seconds = (await self._run(contestant, in_flight, messages, _TRIAL_ROUND)).seconds
            if seconds >= _TRIAL_SECONDS or messages >= _MOST:
                break
            messages = min(_MOST, round(messages * max(2.0, 1.5 * _TRIAL_SECONDS / seconds)))
        wanted = round(messages / seconds * self._plan.seconds)
        return min(max(wanted, _LEAST, 2 * in_flight), _MOST)

    async def _measure(self, contestant: Contestant, in_flight: int, number: int) -> None:
        messages = self._messages.get((contestant.name, in_flight))
        if messages is not None:
            self._watch.begun(f"round {number + 1}: {contestant.name}, {in_flight} in flight")
            try:
                self._watch.measured(await self._run(contestant, in_flight, messages, number))
            except (CannotDo, RunFailed) as failure:
                self._failed(contestant, in_flight, number, str(failure))
        self._watch.ended(1)

    async def _run(self, contestant: Contestant, in_flight: int, messages: int, number: int) -> Measurement:
        run = Run(contestant=contestant, plan=self._plan, in_flight=in_flight, messages=messages, number=number)
        with tempfile.TemporaryDirectory(prefix="novaflow-bench-") as scratch:
            return await measure(run, self._broker, Path(scratch))

    def _failed(self, contestant: Contestant, in_flight: int, number: int, failure: str) -> None:
        self._watch.measured(
            Measurement(contestant=contestant.name, round=number, in_flight=in_flight, failure=failure)
        )
