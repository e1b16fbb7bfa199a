"""How `novaflow bench queue` looks in a terminal."""

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from novaflow.lab.queue.figures import LIMIT, NOVAFLOW, Figure, Measurement
from novaflow.lab.queue.report import Report

_HEADINGS: Final = (
    "in flight",
    "contestant",
    "per s",
    "of limit",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "CPU µs",
    "client",
    "server",
    "broker",
)
_QUANTILES: Final = (50, 95, 99)


class Progressing:
    """Follows the rounds: a bar in a terminal, a line for every measurement elsewhere. Collects what they give."""

    def __init__(self, console: Console, measurements: list[Measurement], left_out: dict[str, str]) -> None:
        self._console = console
        self._measurements = measurements
        self._left_out = left_out
        self._progress = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def planned(self, runs: int) -> None:
        """So many runs are to come in all."""
        self._progress.update(self._task, total=runs)

    def begun(self, what: str) -> None:
        """The next run has begun."""
        self._progress.update(self._task, description=what)

    def ended(self, runs: int) -> None:
        """So many runs have ended, or are not to come."""
        self._progress.advance(self._task, runs)

    def measured(self, measurement: Measurement) -> None:
        """Keep it; say it where there is no bar, and a failure everywhere."""
        self._measurements.append(measurement)
        when = "trial" if measurement.round < 0 else f"round {measurement.round + 1}"
        what = f"{when}: {measurement.contestant}, {measurement.in_flight} in flight: "
        if measurement.failure is not None:
            self._say(what + measurement.failure)
        elif not self._console.is_terminal:
            self._say(f"{what}{measurement.rate:,.0f}/s")

    def left_out(self, contestant: str, reason: str) -> None:
        """A contestant cannot do what is asked."""
        self._left_out[contestant] = reason
        self._say(f"without {contestant}: {reason}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)


def table(report: Report) -> Table:
    """The figures: rows by number in flight, the fastest first."""
    drawn = Table(box=None, header_style="dim", pad_edge=False)
    for heading in _HEADINGS:
        drawn.add_column(heading, justify="left" if heading == "contestant" else "right", no_wrap=True)
    drawn.add_column("", overflow="fold")
    previous = None
    for figure in report.figures:
        if previous not in (None, figure.in_flight):
            drawn.add_row()
        drawn.add_row(*_cells(figure), style="bold" if figure.contestant == NOVAFLOW else None)
        previous = figure.in_flight
    return drawn


def _cells(figure: Figure) -> list[Text]:
    place = [Text(str(figure.in_flight)), Text(figure.contestant)]
    if not figure.rounds:
        return [*place, *(Text("-") for _ in _HEADINGS[2:]), Text("; ".join(figure.failures), style="red")]
    numbers = [
        f"{figure.rate:,.0f}",
        "1" if figure.contestant == LIMIT else _number(figure.share, 1, 2),
        *(_number(figure.quantile(percent), 1e3, 2) for percent in _QUANTILES),
        *(_number(part, 1, 0) for part in (figure.cpu_us, figure.client_us, figure.server_us, figure.broker_us)),
    ]
    marks = [
        f"{count:,} {what}"
        for count, what in ((figure.lost, "lost"), (figure.duplicated, "twice"), (figure.errors, "failed"))
        if count
    ]
    cells = [*place, *(Text(number) for number in numbers), Text(", ".join(marks), style="red")]
    if figure.is_marked:
        cells[2].stylize("red")
    return cells


def _number(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:,.{digits}f}"
