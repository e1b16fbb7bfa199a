"""What the turns of a measurement say: medians, and how a contestant did beside each other one of the same round."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from novaflow.lab.ec2.rounds import Measurement


@dataclass(frozen=True)
class Figure:
    """A contestant at one act and one number of connections: medians over the rounds."""

    act: str
    connections: int
    contestant: str
    per_s: float
    p50_ms: float
    cpu_ms: float | None  # of one listing, all processes of the cloud together
    cpu_ms_by_process: Mapping[str, float]
    times_as_fast_as: Mapping[str, float]  # by contestant: of the rates of each round


def figures(measurements: Iterable[Measurement]) -> list[Figure]:
    """A figure for every contestant at every act and number of connections, in the order in which they were first measured."""
    grouped: dict[tuple[str, int], dict[str, list[Measurement]]] = {}
    for one in measurements:
        grouped.setdefault((one.act, one.connections), {}).setdefault(one.contestant, []).append(one)
    return [_figure(name, together) for together in grouped.values() for name in sorted(together)]


def _figure(name: str, together: Mapping[str, Sequence[Measurement]]) -> Figure:
    own = together[name]
    others = {other: by for other, by in together.items() if other != name}
    return Figure(
        act=own[0].act,
        connections=own[0].connections,
        contestant=name,
        per_s=round(statistics.median(one.per_s for one in own), 2),
        p50_ms=round(statistics.median(one.p50_ms for one in own), 2),
        cpu_ms=round(statistics.median(sum(one.cpu_ms.values()) for one in own), 2) if own[0].cpu_ms else None,
        cpu_ms_by_process={
            process: round(statistics.median(one.cpu_ms.get(process, 0.0) for one in own), 2)
            for process in own[0].cpu_ms
        },
        times_as_fast_as={other: round(_ratio(own, by), 2) for other, by in others.items()},
    )


def _ratio(own: Sequence[Measurement], others: Sequence[Measurement]) -> float:
    by_round = {one.round: one.per_s for one in others}
    return statistics.median(one.per_s / by_round[one.round] for one in own)
