"""One kill and what comes of it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGKILL
from typing import Final, TypeVar

from novaflow.errors import ServiceUnavailable
from tests.crash_matrix.cases import AFTER, DOWN, REQUEST, Cell
from tests.crash_matrix.cloud import SOURCE, TwoHosts
from tests.crash_matrix.judging import problems
from tests.crash_matrix.orders import ACCEPTED, Rider, delete_all, force_down, launch, places, prepare
from tests.crash_matrix.pace import Pace
from tests.crash_matrix.storage import UNENDED
from tests.crash_matrix.verdicts import Verdict, owned_by, verdict
from tests.crash_matrix.world import Problem, World, world
from tests.support.crashes import UNFINISHED, until

JITTER: Final = 0.15  # seconds that riders are ordered earlier
INTERRUPTED_WITHIN: Final = 0.8  # seconds after which another action takes over
CLEAR_WITHIN: Final = 30.0  # seconds that audits may take once no task runs
_GLANCE: Final = 0.005  # seconds between two looks for the leader's point
_CORRECTIONS: Final = ("was counted", "its counters were not")  # services.bookkeeping
T = TypeVar("T")


@dataclass(frozen=True)
class Volley:
    """What is to be done: `leader` is the planned case, `riders` are trials of servers that go with it."""

    number: int
    seed: str
    leader: Cell
    riders: Sequence[Cell]

    @property
    def prefix(self) -> str:
        """Of its servers' names."""
        return f"v{self.number}"


@dataclass(frozen=True)
class Case:
    """A cell of the matrix as it was met, and what came of it."""

    cell: Cell
    is_leader: bool
    verdict: Verdict
    seconds: float  # from the kill until nothing was under way
    problems: Sequence[str]


@dataclass(frozen=True)
class Result:
    """What a volley has shown; `unowned` are problems of no server of it."""

    volley: Volley
    cases: Sequence[Case]
    unowned: Sequence[str]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.unowned and not any(case.problems for case in self.cases)


async def fire(cloud: TwoHosts, volley: Volley, image: str, pace: Pace) -> Result:
    """Bring servers to their places, order, kill at the leader's point, wait, judge, clear up."""
    dice = random.Random(f"{volley.seed} {volley.number}")
    riders = _riders(volley, pace, dice)
    await prepare(cloud, riders, volley.prefix, image)
    cloud.logged()
    is_down = volley.leader.trial.source_is_down
    if is_down:
        await force_down(cloud, SOURCE, is_down=True)
    async with asyncio.TaskGroup() as client:
        for rider in riders:
            client.create_task(launch(cloud, rider, image))
        points = await _caught(cloud, volley, riders, dice, pace)
        killed = time.monotonic()
        await _kill(cloud, volley.leader.victim, dice)
    await _settled(cloud)
    seconds = time.monotonic() - killed
    if is_down:
        await force_down(cloud, SOURCE, is_down=False)
    found = await _cleared(cloud)
    verdicts = [verdict(rider, found) for rider in riders]
    wrong = [*problems(found), *_noise(cloud)]
    if not wrong:
        wrong += await _leftovers(cloud, volley, found)
    cases = []
    for index, (rider, said) in enumerate(zip(riders, verdicts, strict=True)):
        mine = [str(one) for one in wrong if one.owner_id in owned_by(rider, said, found)]
        cell = Cell(rider.trial, volley.leader.victim, points[rider.name])
        cases.append(Case(cell, index == 0, said, seconds, [*said.problems, *mine]))
    owned = frozenset[str]().union(*(owned_by(*one, found) for one in zip(riders, verdicts, strict=True)))
    return Result(volley, cases, [str(one) for one in wrong if one.owner_id not in owned])


def _riders(volley: Volley, pace: Pace, dice: random.Random) -> list[Rider]:
    """Everybody is ordered so long before as it takes to where he is wanted."""
    cells = [volley.leader, *volley.riders]
    there = max(pace.expected(cell) for cell in cells) + JITTER
    delays = [
        there - pace.expected(cell) - (dice.uniform(0, JITTER) if cell is not volley.leader else 0.0) for cell in cells
    ]
    return [
        Rider(cell.trial, f"{volley.prefix}-{index}", delays[index], pause=dice.uniform(0, INTERRUPTED_WITHIN))
        for index, cell in enumerate(cells)
    ]


async def _caught(
    cloud: TwoHosts, volley: Volley, riders: Sequence[Rider], dice: random.Random, pace: Pace
) -> dict[str, str]:
    """Where everybody is once the leader is at its point, or has passed it unseen."""
    leader, point = riders[0], volley.leader.point
    points: dict[str, str] = {}
    while True:
        if point == REQUEST:
            await leader.is_ordered.wait()
            await asyncio.sleep(dice.uniform(0, 0.03))
        found = await places(cloud, volley.prefix)
        for rider in riders:
            now = rider.point(found.get(rider.looked_at))
            if now not in (DOWN, points.get(rider.name)):
                pace.note(rider.trial, now, rider.seconds)
            points[rider.name] = now
        here = points[leader.name]
        is_refused = leader.answer not in ("", ACCEPTED) and here == REQUEST
        if here in (point, AFTER) or (point == REQUEST and here != DOWN) or is_refused:
            return points
        await asyncio.sleep(_GLANCE)


async def _kill(cloud: TwoHosts, victim: str, dice: random.Random) -> None:
    """End it as a crash would, and wait until it serves again."""
    if victim not in ("broker", "database"):
        await cloud.replaced(victim, cloud.signal(victim, SIGKILL))
    else:
        server = cloud.broker if victim == "broker" else cloud.database
        await server.kill9()
        await asyncio.sleep(dice.uniform(0, 1.0))
        await server.start()


async def _settled(cloud: TwoHosts) -> None:
    """Wait until nothing is under way, or patience ends: then the world says what is stuck."""

    async def are_settled() -> bool:
        return not await _patiently(lambda: cloud.rows(UNFINISHED)) and not await _patiently(
            lambda: cloud.rows(UNENDED)
        )

    with suppress(AssertionError):
        await until(are_settled, "something is stuck")


async def _cleared(cloud: TwoHosts) -> World:
    """The world, once nothing is wrong with it any more, or audits have had their time."""
    ends = time.monotonic() + CLEAR_WITHIN
    while True:
        found = await _patiently(lambda: world(cloud))
        if not problems(found) or time.monotonic() > ends:
            return found
        await asyncio.sleep(0.3)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """A database that has just come back is asked again."""
    while True:
        try:
            return await ask()
        except ServiceUnavailable:
            await asyncio.sleep(0.2)


async def _leftovers(cloud: TwoHosts, volley: Volley, found: World) -> list[Problem]:
    """What is left when everything has been deleted."""
    await delete_all(cloud, volley.prefix)
    for image_id in found.made_of.keys() & found.images.keys():
        await cloud.client.ask("DELETE", f"{cloud.client.image}/images/{image_id}", accept=(204, 404))
    return [*problems(await _cleared(cloud)), *await _queued(cloud)]


async def _queued(cloud: TwoHosts) -> list[Problem]:
    """Messages that nobody takes, after all that was ordered is done."""
    ends = time.monotonic() + CLEAR_WITHIN
    while queued := await cloud.queued():
        if time.monotonic() > ends:
            return [Problem("orphan", "", f"there are {count} messages in {name}") for name, count in queued.items()]
        await asyncio.sleep(0.5)
    return []


def _noise(cloud: TwoHosts) -> list[Problem]:
    """Errors that nobody has foreseen, and counters that had to be corrected."""
    lines = cloud.logged()
    errors = [index for index, line in enumerate(lines) if line.startswith("Traceback")]
    corrections = [line for line in lines if any(said in line for said in _CORRECTIONS)]
    return [
        *(Problem("noise", "", " / ".join(lines[max(0, index - 1) : index + 40])[-1500:]) for index in errors[:3]),
        *(Problem("drift", "", line) for line in corrections),
    ]
