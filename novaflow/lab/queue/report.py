"""The report of a measurement: one HTML file with its plots, which needs nothing from anywhere else."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Final

import msgspec

from novaflow.lab.queue import charts
from novaflow.lab.queue.figures import LIMIT, NOVAFLOW, Figure

_STYLE: Final = """
:root { color-scheme: light; --ink: #22262c; --soft: #5c636d; --line: #e3e6ea; --mine: #eef4fb; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2.5rem 1.5rem 4rem; background: #fff; color: var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; }
p { margin: .4rem 0; max-width: 46rem; }
.soft { color: var(--soft); }
.answer { font-size: 1.1rem; margin-top: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .32rem .45rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
tbody + tbody tr:first-child td { border-top: 2px solid #b9bec6; }
tr.mine td { background: var(--mine); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .875rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; }
@media print { body { padding: 0; } h2 { break-after: avoid; } svg, table { break-inside: avoid; } }
"""
_HEADINGS: Final = (
    "contestant", "in flight", "per second", "of the limit", "p50 ms", "p95 ms", "p99 ms",
    "client", "server", "broker", "CPU µs", "lost", "twice", "errors",
)  # fmt: skip


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report says. `plan`, `machine` and `versions` are shown as they are; `left_out` has a reason per contestant."""

    title: str
    when: datetime
    plan: Mapping[str, str]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    figures: Sequence[Figure]
    left_out: Mapping[str, str]


def html(report: Report) -> str:
    """The whole page; raises charts.NoPlotting."""
    charts.require_plotting()
    figures = report.figures
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(report.title)}</h1>
<p class="soft">{escape(_circumstances(report))}</p>
{_answer(figures, report.plan["pattern"])}
<h2>Throughput</h2>
<p class="soft">Medians of the rounds; the bars reach from the slowest to the fastest round. Both axes are logarithmic.</p>
{charts.throughput(figures)}
<h2>Latency</h2>
<p class="soft">How many of the messages were done within how long: of a call its round trip, of a cast or a fanout until it
was accepted. Further left is better.</p>
{charts.latencies(figures)}
<h2>CPU per message</h2>
{charts.cpu(figures)}
<h2>All figures</h2>
<div class="wide"><table>
<thead><tr>{"".join(f"<th>{heading}</th>" for heading in _HEADINGS)}</tr></thead>
{_bodies(figures)}
</table></div>
<p class="soft">The share of the limit is the median of the shares of each round. CPU is in microseconds per message.
A rate in red is of a load that was not handled as a whole: messages were lost or failed, and it does not count them.</p>
{_left_out(report.left_out)}
<h2>Measured with</h2>
<dl>{_pairs(report.plan)}{_pairs(report.machine)}{_pairs(report.versions)}</dl>
</body>
</html>
"""


def _circumstances(report: Report) -> str:
    return f"{report.when:%d %B %Y, %H:%M} UTC · {report.machine['cores']} cores, {report.machine['processor']}"


def _answer(figures: Sequence[Figure], pattern: str) -> str:
    """The sentence that the report was made for: how near novaflow comes to the limit where it does best."""
    mine = [figure for figure in figures if figure.contestant == NOVAFLOW and figure.rounds]
    if not mine:
        return ""
    best = max(mine, key=lambda figure: figure.rate)
    text = f"novaflow does {best.rate:,.0f} {pattern}s per second with {best.in_flight} in flight"
    if best.share is not None:
        text += f", {best.share:.2f} of the limit"
    return f'<p class="answer">{escape(text)}.</p>'


def _bodies(figures: Sequence[Figure]) -> str:
    """A table body for every number in flight."""
    levels: dict[int, list[str]] = {}
    for figure in figures:
        levels.setdefault(figure.in_flight, []).append(_row(figure))
    return "\n".join(f"<tbody>{''.join(rows)}</tbody>" for rows in levels.values())


def _row(figure: Figure) -> str:
    mine = ' class="mine"' if figure.contestant == NOVAFLOW else ""
    name, in_flight = escape(figure.contestant), figure.in_flight
    if not figure.rounds:
        reason = escape("; ".join(figure.failures))
        return f'<tr{mine}><td>{name}</td><td>{in_flight}</td><td class="bad" colspan="12" style="text-align:left;white-space:normal">{reason}</td></tr>'
    rate = f"{figure.rate:,.0f}"
    cells = [
        f'<span class="bad">{rate}</span>' if figure.is_marked else rate,
        _number(figure.share, 1, "{:.2f}") if figure.contestant != LIMIT else "1",
        *(_number(figure.quantile(percent), 1e3, "{:,.2f}") for percent in (50, 95, 99)),
        *(
            _number(part, 1, "{:,.0f}")
            for part in (figure.client_us, figure.server_us, figure.broker_us, figure.cpu_us)
        ),
        *(
            f'<span class="bad">{count:,}</span>' if count else "0"
            for count in (figure.lost, figure.duplicated, figure.errors)
        ),
    ]
    return f"<tr{mine}><td>{name}</td><td>{in_flight}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _number(value: float | None, unit: float, form: str) -> str:
    return "-" if value is None else form.format(value / unit)


def _left_out(left_out: Mapping[str, str]) -> str:
    if not left_out:
        return ""
    return f"<h2>Not measured</h2><dl>{_pairs(left_out)}</dl>"


def _pairs(values: Mapping[str, str]) -> str:
    pairs: Iterable[tuple[str, str]] = values.items()
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs)
