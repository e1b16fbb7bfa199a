"""What a run has shown: for people as one HTML page that needs nothing else, for programs as JSON."""

import html
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.crash_matrix.cases import TRIALS, VICTIMS, Cell, Trial
from tests.crash_matrix.volley import Case, Result

_STYLE: Final = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; }
table { border-collapse: collapse; } th, td { border: 1px solid #ccc; padding: .2em .5em; text-align: right; }
th:first-child, td:first-child { text-align: left; } td.bad { background: #fbb; } td.good { background: #dfd; }
"""


@dataclass
class Findings:
    """What was seen so far."""

    seed: str
    cases: list[Case] = field(default_factory=list)
    unowned: list[tuple[int, str]] = field(default_factory=list)  # volley, problem
    volleys: int = 0

    def add(self, result: Result) -> None:
        """One volley more."""
        self.volleys += 1
        self.cases += result.cases
        self.unowned += [(result.volley.number, problem) for problem in result.unowned]

    @property
    def kinds(self) -> Counter[str]:
        """How many problems of each kind."""
        texts = [problem for case in self.cases for problem in case.problems] + [text for _, text in self.unowned]
        return Counter(text.partition(":")[0] for text in texts)

    @property
    def outcomes(self) -> Counter[str]:
        """How the actions ended."""
        return Counter(case.verdict.outcome for case in self.cases)

    def summary(self) -> str:
        """All in one line."""
        ended = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        wrong = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common()) or "nothing wrong"
        return f"{len(self.cases)} cases in {self.volleys} volleys: {ended}; {wrong}"


def write(findings: Findings, unmet: Sequence[Cell], directory: Path) -> list[Path]:
    """Write crash-matrix.json and crash-matrix.html; gives their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    told, page = directory / "crash-matrix.json", directory / "crash-matrix.html"
    told.write_text(json.dumps(_facts(findings, unmet), indent=1) + "\n")
    page.write_text(_page(findings, unmet))
    return [told, page]


def met_in(report: Path, trials: Iterable[Trial]) -> frozenset[Cell]:
    """The cells of these trials that the JSON of a run has met."""
    named = {trial.name: trial for trial in trials}
    told = json.loads(report.read_text())["cases"]
    return frozenset(Cell(named[one["action"]], one["victim"], one["point"]) for one in told if one["action"] in named)


def _facts(findings: Findings, unmet: Sequence[Cell]) -> dict[str, Any]:
    return {
        "seed": findings.seed,
        "summary": findings.summary(),
        "problems": dict(findings.kinds),
        "outcomes": dict(findings.outcomes),
        "unmet": [str(cell) for cell in unmet],
        "of_no_server": [{"volley": number, "problem": problem} for number, problem in findings.unowned],
        "cases": [
            {
                "action": case.cell.trial.name,
                "victim": case.cell.victim,
                "point": case.cell.point,
                "is_leader": case.is_leader,
                "outcome": case.verdict.outcome,
                "fault": case.verdict.text,
                "seconds": round(case.seconds, 2),
                "problems": list(case.problems),
            }
            for case in findings.cases
        ],
    }


def _page(findings: Findings, unmet: Sequence[Cell]) -> str:
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Crash matrix</title><style>{_STYLE}</style><h1>Crash matrix</h1>",
        f"<p>{html.escape(findings.summary())} (seed {html.escape(findings.seed)})</p>",
        "<p>Cases, seconds until everything was settled (median), and in brackets those that ended with a fault.</p>",
        _table(findings.cases),
        _list("Problems", _problems(findings)),
        _list("Faults", _faults(findings.cases)),
        _list("Never met", [str(cell) for cell in unmet]),
    ]
    return "\n".join(parts)


def _table(cases: Iterable[Case]) -> str:
    met: defaultdict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        met[case.cell.trial.name, case.cell.victim].append(case)
    head = "".join(f"<th>{victim}</th>" for victim in VICTIMS)
    rows = [
        f"<tr><td>{trial.name}</td>{''.join(_cell(met[trial.name, victim]) for victim in VICTIMS)}</tr>"
        for trial in TRIALS
    ]
    return f"<table><tr><th>action</th>{head}</tr>{''.join(rows)}</table>"


def _cell(cases: Sequence[Case]) -> str:
    if not cases:
        return "<td></td>"
    wrong = sum(1 for case in cases if case.problems)
    faults = sum(1 for case in cases if case.verdict.outcome in ("failed", "broken"))
    said = f"{len(cases)}, {statistics.median(case.seconds for case in cases):.1f} s"
    said += f" ({faults})" if faults else ""
    return f'<td class="bad">{wrong} wrong of {said}</td>' if wrong else f'<td class="good">{said}</td>'


def _problems(findings: Findings) -> list[str]:
    owned = [f"{case.cell}: {problem}" for case in findings.cases for problem in case.problems]
    return owned + [f"volley {number}: {problem}" for number, problem in findings.unowned]


def _faults(cases: Iterable[Case]) -> list[str]:
    return [f"{case.cell}: {case.verdict.outcome}: {case.verdict.text}" for case in cases if case.verdict.text]


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines) or "<li>none</li>"
    return f"<h2>{title}</h2><ul>{items}</ul>"
