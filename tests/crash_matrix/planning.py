"""Which volleys are fired: every cell of the matrix is led once, or met on the way; what rides along has not been met yet."""

import random
from collections.abc import Iterator, Sequence
from typing import Final

from tests.crash_matrix.cases import Cell
from tests.crash_matrix.volley import Result, Volley

TRIES: Final = 2  # volleys that a cell may lead before it counts as one that cannot be met


class Plan:
    """The volleys of a run, each planned when the one before is done. Everything is decided by `seed` and what was met so far."""

    def __init__(self, wanted: Sequence[Cell], seed: str, riders: int, sample: int | None = None) -> None:
        self._seed = seed
        self._riders = riders
        self._dice = random.Random(seed)
        self.total = min(sample or len(wanted), len(wanted))
        # Cells that nobody has met yet, and how often each has led.
        self.open = dict.fromkeys(self._dice.sample(wanted, self.total), 0)
        self.unmet: list[Cell] = []

    def volleys(self) -> Iterator[Volley]:
        """One after the other; tell `met` what came of each."""
        number = 0
        while self.open:
            leader = next(iter(self.open))
            others = [cell for cell in self.open if cell != leader and _go_together(cell, leader)]
            trials = {cell.trial: cell for cell in others if cell.trial is not leader.trial}
            yield Volley(number, self._seed, leader, self._chosen([*trials.values()], others))
            number += 1

    def _chosen(self, fresh: list[Cell], others: list[Cell]) -> list[Cell]:
        """Different trials first; any open cells when there are not enough."""
        self._dice.shuffle(fresh)
        return [*fresh, *(cell for cell in others if cell not in fresh)][: self._riders]

    def met(self, result: Result) -> None:
        """Close what was met; a leader that was missed too often is given up."""
        for case in result.cases:
            self.open.pop(case.cell, None)
        leader = result.volley.leader
        if leader in self.open:
            tries = self.open.pop(leader) + 1
            if tries < TRIES:
                self.open[leader] = tries  # at the end
            else:
                self.unmet.append(leader)


def _go_together(one: Cell, other: Cell) -> bool:
    """Whether one kill can be both cases."""
    return one.victim == other.victim and one.trial.source_is_down == other.trial.source_is_down
