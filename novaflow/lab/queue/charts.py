"""The plots of a report, as SVG that needs nothing from elsewhere: letters are drawn as paths, no script, no font, no link.

The only importer of matplotlib, which is an optional extra.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from novaflow.lab.queue.figures import LIMIT, NOVAFLOW, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which people who see few colours can tell apart; further contestants get other markers.
_COLOURS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C00", "#7A5195")
_MARKERS: Final = ("o", "s", "^")
_STYLES: Final[dict[str, dict[str, Any]]] = {
    NOVAFLOW: {"color": "#0050A0", "linewidth": 2.8, "marker": "D", "zorder": 5},
    LIMIT: {"color": "#222222", "linewidth": 1.8, "linestyle": "--", "marker": "x", "zorder": 4},
}
_INK: Final = "#3a3f47"
_WIDTH: Final = 10.0  # inches
_WIDE: Final = 300  # times: an axis that spans more has no room for numbers between the powers of ten
_MICROSECONDS: Final = 1e3  # in a millisecond


class NoPlotting(Exception):
    """matplotlib is not installed."""

    def __init__(self) -> None:
        super().__init__("the HTML report needs matplotlib: pip install 'novaflow[report]'")


def require_plotting() -> None:
    """Raises NoPlotting when no plot can be made; better asked before an hour of measuring than after."""
    try:
        import matplotlib.figure  # noqa: F401  # an optional extra, and slow to import
    except ImportError:
        raise NoPlotting from None


def throughput(figures: Sequence[Figure]) -> str:
    """Messages per second over messages in flight, a line a contestant."""
    names = contestants(figures)
    levels = sorted({figure.in_flight for figure in figures if figure.rate})
    if not levels:
        return ""

    def draw(axes: "Sequence[Axes]") -> None:
        (plot,) = axes
        for name in names:
            points = [figure for figure in figures if figure.contestant == name and figure.rate]
            rates = [figure.rate for figure in points]
            spread = [[one.rate - one.least for one in points], [one.most - one.rate for one in points]]
            style = _style(name, names)
            plot.errorbar(
                [one.in_flight for one in points], rates, spread, label=name, capsize=2, markersize=5, **style
            )
        _logarithmic(plot, "messages per second", "messages in flight")
        plot.set_xscale("log", base=2)
        plot.set_xticks(levels, [str(level) for level in levels])

    return _svg("throughput", draw, panels=1, height=5.2)


def latencies(figures: Sequence[Figure]) -> str:
    """How many of the messages were done within how many milliseconds, a panel for every number in flight."""
    names = contestants(figures)
    levels = sorted({figure.in_flight for figure in figures if figure.quantiles_us})

    def draw(axes: "Sequence[Axes]") -> None:
        for plot, level in zip(axes, levels, strict=True):
            for figure in sorted(figures, key=lambda one: names.index(one.contestant)):
                if figure.in_flight != level or not figure.quantiles_us:
                    continue
                style = _style(figure.contestant, names) | {"marker": "", "linestyle": "-"}
                if figure.contestant == LIMIT:
                    style["linestyle"] = "--"
                milliseconds = [step / _MICROSECONDS for step in figure.quantiles_us]
                plot.plot(milliseconds, range(len(milliseconds)), label=figure.contestant, **style)
            plot.set_title(f"{level} in flight", loc="left", fontsize=10, color=_INK)
            plot.set_xscale("log")
            _plain(plot.xaxis)
            plot.set_ylim(0, 100)
            plot.set_ylabel("% of the messages", color=_INK)
            plot.set_xlabel("milliseconds", color=_INK)
            _clean(plot)

    return _svg("latency", draw, panels=max(len(levels), 1), height=3.4) if levels else ""


def cpu(figures: Sequence[Figure]) -> str:
    """Microseconds of CPU per message of client, server and broker, at the most in flight that has figures for it."""
    with_cpu = [figure for figure in figures if figure.rounds]
    if not with_cpu:
        return ""
    level = max(figure.in_flight for figure in with_cpu)
    rows = sorted((one for one in with_cpu if one.in_flight == level), key=_cpu, reverse=True)

    def draw(axes: "Sequence[Axes]") -> None:
        (plot,) = axes
        left = [0.0] * len(rows)
        for part, colour, widths in (
            ("client", "#0050A0", [one.client_us for one in rows]),
            ("server", "#56B4E9", [one.server_us for one in rows]),
            ("broker", "#E69F00", [one.broker_us or 0.0 for one in rows]),
        ):
            plot.barh([one.contestant for one in rows], widths, left=left, color=colour, label=part, height=0.6)
            left = [before + width for before, width in zip(left, widths, strict=True)]
        for row, total in enumerate(left):
            plot.annotate(f"{total:,.0f}", (total, row), (5, 0), textcoords="offset points", va="center", color=_INK)
        plot.set_xlim(0, max(left) * 1.1 or 1)
        plot.set_xlabel(f"microseconds of CPU per message, {level} in flight", color=_INK)
        _clean(plot)

    return _svg("cpu", draw, panels=1, height=1.3 + 0.36 * len(rows))


def contestants(figures: Sequence[Figure]) -> list[str]:
    """Every contestant, novaflow and the limit first, then by their best rate."""
    best: dict[str, float] = {}
    for figure in figures:
        best[figure.contestant] = max(best.get(figure.contestant, 0.0), figure.rate)
    return sorted(best, key=lambda name: (name != NOVAFLOW, name != LIMIT, -best[name], name))


def _cpu(figure: Figure) -> float:
    return figure.client_us + figure.server_us + (figure.broker_us or 0.0)


def _style(name: str, names: Sequence[str]) -> dict[str, Any]:
    if name in _STYLES:
        return dict(_STYLES[name])
    others = [one for one in names if one not in _STYLES]
    turn, place = divmod(others.index(name), len(_COLOURS))
    return {"color": _COLOURS[place], "linewidth": 1.5, "marker": _MARKERS[turn % len(_MARKERS)], "zorder": 3}


def _logarithmic(plot: "Axes", up: str, across: str) -> None:
    plot.set_yscale("log")
    _plain(plot.yaxis)
    plot.set_ylabel(up, color=_INK)
    plot.set_xlabel(across, color=_INK)
    _clean(plot)


def _plain(axis: Any) -> None:
    """Numbers as people write them, at every power of ten, and at 2 and 5 of it if there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    least, most = axis.get_view_interval()
    steps = (1.0,) if most > least * _WIDE else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(base=10, subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axis.set_minor_formatter(NullFormatter())


def _clean(plot: "Axes") -> None:
    plot.grid(visible=True, which="major", color="#e3e6ea", linewidth=0.8)
    plot.set_axisbelow(True)
    plot.tick_params(colors=_INK, which="both", labelsize=9)
    for side in ("top", "right"):
        plot.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        plot.spines[side].set_color("#b9bec6")


def _svg(name: str, draw: "Callable[[Sequence[Axes]], None]", *, panels: int, height: float) -> str:
    """Draw into so many panels, two in a row, and return the SVG element; its ids begin with `name`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    columns = min(panels, 2)
    rows = -(-panels // columns)
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": name, "font.family": "DejaVu Sans", "font.size": 10}):
        drawing = Drawing(figsize=(_WIDTH, height * rows), layout="constrained")
        axes = [drawing.add_subplot(rows, columns, place + 1) for place in range(panels)]
        draw(axes)
        handles, labels = axes[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9, labelcolor=_INK)
        written = io.StringIO()
        drawing.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _element(written.getvalue(), name)


def _element(document: str, name: str) -> str:
    """The SVG element alone, fit to stand in a page beside others: no prolog, no metadata, ids of its own."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r' xmlns(:xlink)?="[^"]*"', "", element)
    element = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", element).replace("xlink:href", "href")
    return re.sub(
        r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', rf'\1\2 role="img" aria-label="{name}"', element
    )
