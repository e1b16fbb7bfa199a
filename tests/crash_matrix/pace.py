"""How long after its order an action is at each point of its way: learnt from what was seen, so that riders are met where they are wanted."""

from typing import Final

from tests.crash_matrix.cases import Cell, Trial

_A_STEP: Final = 0.3  # seconds for a point that nobody has been seen at yet
_NEWEST: Final = 0.5  # what the newest sight counts against all before


class Pace:
    """Grows with every volley."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[Trial, str], float] = {}

    def note(self, trial: Trial, point: str, seconds: float) -> None:
        """A server was first seen at a point so many seconds after its order."""
        known = self._seconds.get((trial, point), seconds)
        self._seconds[trial, point] = known + (seconds - known) * _NEWEST

    def expected(self, cell: Cell) -> float:
        """Seconds from the order to the cell's point."""
        steps = cell.trial.points.index(cell.point)
        return self._seconds.get((cell.trial, cell.point), _A_STEP * steps)
