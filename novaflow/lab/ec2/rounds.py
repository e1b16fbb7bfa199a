"""Interleaved rounds: machines drift, so only what was measured in the same round is compared.

First the clouds are filled: in every round each door orders some servers, and the next one has its turn when they all run. Then
all are listed at each door, again and again for a while. Every answer is looked at: one that does not have all servers in it
makes the whole measurement void.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from novaflow.lab.ec2.doors import Door
from novaflow.lab.ec2.sending import sent, session
from novaflow.lab.figures import summary
from novaflow.lab.load import closed_loop, limited
from novaflow.lab.openstack import ApiError

BOOT: Final = "boot"
LIST: Final = "list"
_LOOK: Final = 0.1  # seconds between two looks at servers that are not all running
_SETTLED_WITHIN: Final = 120.0  # seconds

Turn = tuple[int, int, "Contestant"]  # round, connections, whose


class Void(Exception):
    """The measurement is worth nothing; says why."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    instances: int = 200  # of each cloud
    rounds: int = 5
    seconds: float = 3.0  # of each loop of listings
    connections: tuple[int, ...] = (1, 4)
    seed: int = 1  # of the order of turns


def name_of(cloud: str, api: str) -> str:
    """The name of a contestant."""
    return f"{cloud}, {api}"


@dataclass(frozen=True)
class Contestant:
    """A door of a cloud. `cpu` tells the seconds that each process of the cloud has spent so far."""

    cloud: str
    door: Door
    cpu: Callable[[], Mapping[str, float]]

    @property
    def name(self) -> str:
        """As figures name it."""
        return name_of(self.cloud, self.door.api)


@dataclass(frozen=True)
class Measurement:
    """One turn of one contestant."""

    contestant: str
    act: str
    connections: int
    round: int
    calls: int
    per_s: float
    p50_ms: float
    cpu_ms: Mapping[str, float] = field(default_factory=dict)
    """Of one listing, by process; none of an order, which goes on after its answer."""


async def measure(contestants: Sequence[Contestant], plan: Plan, tell: Callable[[str], None]) -> list[Measurement]:
    """Everything, in order. Raises Void."""
    portions = _portions(contestants, plan)
    for contestant in contestants:  # the first order of a cloud fetches the image, and the first question warms caches
        await _boot(contestant, 1, 1, 0)
        await _settled(contestant)
    found: list[Measurement] = []
    turns = list(_turns(contestants, plan))
    for number, (round_number, connections, contestant) in enumerate(turns, 1):
        tell(f"{number} of {len(turns)}: servers ordered, {contestant.name}, {connections} at a time")
        found.append(await _boot(contestant, next(portions[contestant.name]), connections, round_number))
        await _settled(contestant)
    for number, (round_number, connections, contestant) in enumerate(turns, 1):
        tell(f"{number} of {len(turns)}: servers listed, {contestant.name}, {connections} at a time")
        found.append(await _list(contestant, connections, round_number, plan))
    return found


def fewest(contestants: Sequence[Contestant], plan: Plan) -> int:
    """The least number of instances with which every turn has one to order."""
    doors = max(sum(1 for other in contestants if other.cloud == one.cloud) for one in contestants)
    return doors * (plan.rounds * len(plan.connections) + 1)


def _portions(contestants: Sequence[Contestant], plan: Plan) -> dict[str, Iterator[int]]:
    """By contestant how many servers it orders at each of its turns: in the end every cloud has as many."""
    turns = plan.rounds * len(plan.connections)
    found = {}
    for cloud in {one.cloud for one in contestants}:
        doors = [one.name for one in contestants if one.cloud == cloud]
        for door, share in zip(doors, _spread(plan.instances, len(doors)), strict=True):
            found[door] = iter(_spread(share - 1, turns))  # one is there already
    return found


def _spread(total: int, parts: int) -> list[int]:
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _turns(contestants: Sequence[Contestant], plan: Plan) -> Iterator[Turn]:
    chance = random.Random(plan.seed)  # noqa: S311 - no secret
    for number in range(plan.rounds):
        for connections in plan.connections:
            for contestant in chance.sample(contestants, len(contestants)):
                yield number, connections, contestant


async def _boot(contestant: Contestant, count: int, connections: int, number: int) -> Measurement:
    took: list[float] = []
    made: set[str] = set()
    requests = [contestant.door.boot() for _ in range(count)]
    async with session(connections) as http:

        async def order() -> None:
            request, ordered = requests.pop(), time.perf_counter()
            answer = await sent(http, request)
            took.append(time.perf_counter() - ordered)
            made.update(contestant.door.ids(answer))

        began = time.perf_counter()
        with _answered_by(contestant):
            await limited([order] * count, connections)
        elapsed = time.perf_counter() - began
    if len(made) != count:
        raise Void(f"{contestant.name} answered {count} orders with {len(made)} servers")
    return Measurement(contestant.name, BOOT, connections, number, count, count / elapsed, summary(took)["p50_ms"])


async def _list(contestant: Contestant, connections: int, number: int, plan: Plan) -> Measurement:
    request = contestant.door.listing()
    async with session(connections) as http:

        async def ask() -> None:
            found = len(set(contestant.door.ids(await sent(http, request))))
            if found != plan.instances:
                raise Void(f"{contestant.name} listed {found} of {plan.instances} servers")

        before = contestant.cpu()
        loop = await closed_loop(ask, connections, plan.seconds)
        if loop["errors"]:
            raise Void(f"{contestant.name}: {loop['first_error']}")
        cpu = _spent(contestant, before, loop["n"])
    return Measurement(contestant.name, LIST, connections, number, loop["n"], loop["per_s"], loop["p50_ms"], cpu)


async def _settled(contestant: Contestant) -> None:
    """Wait until every server of the cloud runs: what is under way must not cost the next one's turn."""
    door, states = contestant.door, list[str]()
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLED_WITHIN), session(1) as http:
            while not states or set(states) != {door.running}:
                if states:
                    await asyncio.sleep(_LOOK)
                with _answered_by(contestant):
                    states = list(door.states(await sent(http, door.listing())))
            return
    raise Void(f"{contestant.name}: after {_SETTLED_WITHIN:g} s servers are {', '.join(sorted(set(states)))}")


@contextmanager
def _answered_by(contestant: Contestant) -> Iterator[None]:
    try:
        yield
    except (ApiError, aiohttp.ClientError, OSError) as error:
        raise Void(f"{contestant.name}: {str(error) or type(error).__name__}") from error


def _spent(contestant: Contestant, before: Mapping[str, float], calls: int) -> dict[str, float]:
    now = contestant.cpu()
    return {name: (seconds - before.get(name, 0.0)) * 1e3 / calls for name, seconds in now.items()}
