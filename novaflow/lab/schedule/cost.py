"""What a decision costs the scheduler's processor, beside the straightforward loop over the same hosts, question by question.

A decision is the choice and, since hosts are kept in order, putting the chosen host into its new place; a server that was placed long
ago leaves again, which is another change. Every so often the loop answers the same question over the same hosts, and must agree.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from novaflow.config import Scheduler
from novaflow.errors import NoValidHost
from novaflow.hosts import Host
from novaflow.lab.figures import percentile
from novaflow.lab.schedule.fleet import ask_of, hosts_of
from novaflow.lab.schedule.straightforward import biggest_of, passing, weighed
from novaflow.models import Flavor
from novaflow.placement.asking import Ask
from novaflow.placement.choose import choose
from novaflow.placement.ranking import Ranking

LOOPS: Final = 200  # answers of the loop that are measured for a fleet
STAY: Final = 4  # servers per host before the oldest leaves
_REFUSED: Final = 20
_NANOSECONDS: Final = 1000.0  # of a microsecond
_ROUNDING: Final = 1e-9
_T = TypeVar("_T")


class Disagreement(Exception):
    """The decision is not one that the straightforward loop would have made."""


class _Placed(NamedTuple):
    host: str
    flavor: Flavor


class _Fleet:
    """The hosts with their servers coming and going."""

    def __init__(self, count: int, settings: Scheduler, dice: random.Random) -> None:
        hosts = hosts_of(count, dice)
        self.settings = settings
        self.dice = dice
        self.first_us, self.ranking = _timed(lambda: Ranking(settings, hosts, dice))
        self._servers: deque[_Placed] = deque()
        self._most = count * STAY

    def decide(self, ask: Ask) -> tuple[Host | None, float]:
        """Where the server goes, and what that cost in µs; None: nowhere."""

        def work() -> Host | None:
            try:
                host = choose(self.ranking, ask, self.dice)
            except NoValidHost:
                return None
            self.ranking.put(_with(host, ask.spec.flavor, 1))
            return host

        cost, host = _timed(work)
        if host is not None:
            self._servers.append(_Placed(host.name, ask.spec.flavor))
        return host, cost

    def age(self) -> None:
        """Let the oldest server go when there are many."""
        if len(self._servers) > self._most:
            gone = self._servers.popleft()
            host = self.ranking.get(gone.host)
            if host is not None:
                self.ranking.put(_with(host, gone.flavor, -1))

    def loop(self, ask: Ask) -> tuple[list[tuple[float, Host]], float]:
        """What the straightforward loop says, best first, and what that cost in µs."""
        hosts = list(self.ranking)
        biggest = biggest_of(hosts)
        cost, found = _timed(lambda: weighed(passing(hosts, ask), ask, biggest, {}))
        return found, cost


def measure(count: int, decisions: int, settings: Scheduler, seed: int) -> dict[str, Any]:
    """The figures for a fleet of `count` hosts, in µs of processor time. Raises Disagreement."""
    dice = random.Random(seed)  # noqa: S311  a seed repeats a run
    fleet = _Fleet(count, settings, dice)
    costs: list[float] = []
    loops: list[float] = []
    every = max(1, decisions // LOOPS)
    for number in range(decisions):
        ask = ask_of(settings, dice)
        if number % every == 0:
            expected, cost = fleet.loop(ask)
            loops.append(cost)
            host, cost = fleet.decide(ask)
            _compare(host, expected, settings)
        else:
            _, cost = fleet.decide(ask)
        costs.append(cost)
        fleet.age()
    p50, loop_p50 = percentile(costs, 50), percentile(loops, 50)
    return {
        "hosts": count,
        "decisions": decisions,
        "p50_us": round(p50, 1),
        "p99_us": round(percentile(costs, 99), 1),
        "loop_p50_us": round(loop_p50, 1),
        "loop_p99_us": round(percentile(loops, 99), 1),
        "ratio": round(loop_p50 / p50, 1),
        "refusal_p50_us": round(_refusals(fleet), 1),
        "first_order_us": round(fleet.first_us, 1),
    }


def _compare(host: Host | None, expected: list[tuple[float, Host]], settings: Scheduler) -> None:
    """The host is one of the best few, or there is none in both answers."""
    if host is None or not expected:
        if host is not None or expected:
            raise Disagreement(f"{host} was chosen; the loop found {len(expected)} hosts")
        return
    weights = {one.name: wanted for wanted, one in expected}
    least = expected[min(len(expected), settings.host_subset_size) - 1][0]
    if host.name not in weights or weights[host.name] < least - _ROUNDING:
        raise Disagreement(f"{host.name} was chosen, {expected[0][1].name} is better")


def _refusals(fleet: _Fleet) -> float:
    """What it costs when nobody fits, with the reasons."""
    huge = Flavor(id="huge", name="huge", vcpus=1, ram_mb=10**9, disk_gb=1)
    ask = ask_of(fleet.settings, fleet.dice)
    spec = msgspec.structs.replace(ask.spec, flavor=huge, availability_zone="")
    return percentile([fleet.decide(Ask(spec=spec, settings=fleet.settings))[1] for _ in range(_REFUSED)], 50)


def _with(host: Host, flavor: Flavor, count: int) -> Host:
    """The host with so many more such servers."""
    return msgspec.structs.replace(
        host,
        vcpus_used=host.vcpus_used + count * flavor.vcpus,
        ram_mb_used=host.ram_mb_used + count * flavor.ram_mb,
        disk_gb_used=host.disk_gb_used + count * flavor.claimed_disk_gb,
        servers=host.servers + count,
    )


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    began = time.thread_time_ns()
    answer = work()
    return (time.thread_time_ns() - began) / _NANOSECONDS, answer
