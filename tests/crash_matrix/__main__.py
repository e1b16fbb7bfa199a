"""The command line: `python -m tests.crash_matrix --help`."""

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.crash_matrix.cases import TRIAL, VICTIMS, cells, offloaded_at_once
from tests.crash_matrix.planning import Plan
from tests.crash_matrix.report import Findings, met_in, write
from tests.crash_matrix.running import SHELVED, run
from tests.crash_matrix.volley import Result


@click.command()
@click.option("--actions", help="Only these, separated by commas. [default: all]")
@click.option("--victims", help="Only these, separated by commas. [default: all]")
@click.option("--points", help="Only at these points of their ways, separated by commas. [default: all]")
@click.option(
    "--sample", type=click.IntRange(min=1), help="So many cells of the matrix, chosen by the seed. [default: all]"
)
@click.option(
    "--after",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Without the cells that an earlier run's crash-matrix.json has met; may be given several times.",
)
@click.option("--seed", default="novaflow", show_default=True, help="Decides what is tried in which order, and when.")
@click.option("--riders", type=click.IntRange(min=0), default=9, show_default=True, help="Servers beside the leader.")
@click.option("--minutes", type=float, help="Start no volley after so long.")
@click.option("--delay", default=0.4, show_default=True, help="Seconds that a host's operations take.")
@click.option("--offload-at-once", is_flag=True, help="Shelved servers leave their host at once, as by default.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build"),
    show_default=True,
    help="For the report.",
)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Clouds live and stay here.")
def main(
    actions: str | None,
    victims: str | None,
    points: str | None,
    sample: int | None,
    after: tuple[Path, ...],
    seed: str,
    riders: int,
    minutes: float | None,
    delay: float,
    offload_at_once: bool,
    output: Path,
    keep: Path | None,
) -> None:
    """Kill every process at every step of every action, and see whether anything is stuck, double, left over or counted wrong."""
    logging.getLogger("services.supervisor").setLevel(logging.ERROR)  # who was killed is no news here
    trials = [TRIAL[name] for name in _names(actions, list(TRIAL))]
    if offload_at_once:
        trials = offloaded_at_once(trials)
    wanted = cells(trials, _names(victims, VICTIMS))
    if points:
        wanted = [cell for cell in wanted if cell.point in points.split(",")]
    met = {cell for report in after for cell in met_in(report, trials)}
    wanted = [cell for cell in wanted if cell not in met]
    plan = Plan(wanted, seed, riders, sample)
    findings = Findings(seed)
    until = time.monotonic() + minutes * 60 if minutes else None
    with tempfile.TemporaryDirectory(prefix="novaflow-crash-matrix-") as scratch, _progress() as progress:
        task = progress.add_task("starting a cloud", total=len(plan.open))

        def note(result: Result) -> None:
            findings.add(result)
            for line in lines_of(result):
                progress.console.print(line, style="red", markup=False, highlight=False)
            leader = str(result.volley.leader)
            progress.update(task, completed=plan.total - len(plan.open), description=leader)
            write(findings, plan.unmet, output)

        shelved = 0.0 if offload_at_once else SHELVED
        asyncio.run(run(plan, keep or Path(scratch), delay, note, shelved=shelved, until=until))
    for path in write(findings, plan.unmet, output):
        Console().print(f"written: {path}", highlight=False)
    Console().print(findings.summary(), highlight=False)
    sys.exit(1 if findings.kinds else 0)


def lines_of(result: Result) -> list[str]:
    """What was wrong, a line for each failed case, and how to repeat it."""
    again = f"--seed {result.volley.seed!r}, volley {result.volley.number} ({result.volley.leader})"
    failed = [f"{case.cell}: {'; '.join(case.problems)} [{again}]" for case in result.cases if case.problems]
    return failed + [f"{problem} [{again}]" for problem in result.unowned]


def _names(said: str | None, known: Sequence[str]) -> Sequence[str]:
    if said is None:
        return known
    names = said.split(",")
    if unknown := set(names) - set(known):
        raise click.BadParameter(f"{min(unknown)!r} is none of {', '.join(known)}")
    return names


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


if __name__ == "__main__":
    main()
