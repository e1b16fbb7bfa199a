"""What a run has shown, written and read again."""

from pathlib import Path

from tests.crash_matrix.cases import AFTER, REQUEST, TRIAL, Cell
from tests.crash_matrix.report import Findings, met_in, write
from tests.crash_matrix.verdicts import Verdict
from tests.crash_matrix.volley import Case


def test_another_run_goes_on_after_the_cells_that_were_met(tmp_path: Path) -> None:
    met, unmet = Cell(TRIAL["stop"], "api", REQUEST), Cell(TRIAL["stop"], "api", AFTER)
    findings = Findings("seed", [Case(met, True, Verdict("done", ""), 1.0, [])])

    report, _page = write(findings, [unmet], tmp_path)

    assert met_in(report, TRIAL.values()) == {met}
    assert met_in(report, [TRIAL["start"]]) == frozenset()
