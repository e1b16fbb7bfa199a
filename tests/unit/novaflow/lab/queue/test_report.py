"""The HTML report."""

import builtins
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from novaflow.lab.queue import charts
from novaflow.lab.queue.figures import STEPS, Figure
from novaflow.lab.queue.report import Report, html

LINKS = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


class Page(HTMLParser):
    """The elements of a page: their names, what they point at, and their ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.targets += [value or "" for name, value in attrs if name in LINKS]
        self.ids += [value or "" for name, value in attrs if name == "id"]


def figure(contestant: str, in_flight: int, rate: float, **more: Any) -> Figure:
    quantiles = tuple(100.0 + step * in_flight for step in range(STEPS))
    given = {"rounds": 3, "messages": 3000, "rate": rate, "least": rate * 0.9, "most": rate * 1.1}
    parts = {"client_us": 30.0, "server_us": 30.0, "broker_us": 40.0, "quantiles_us": quantiles}
    return Figure(**{"contestant": contestant, "in_flight": in_flight, **given, **parts, **more})


def report(*figures: Figure, left_out: Mapping[str, str] | None = None) -> Report:
    return Report(
        title="Message queue: calls",
        when=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        plan={"pattern": "call", "rounds": "3"},
        machine={"processor": "a processor", "cores": "2"},
        versions={"RabbitMQ": "3.10.8"},
        figures=figures,
        left_out=left_out or {},
    )


FULL = report(
    figure("novaflow", 1, 2400.0, share=0.61),
    figure("limit", 1, 4000.0, share=1.0),
    figure("aio-pika", 1, 370.0, lost=4, duplicated=2, errors=1),
    figure("novaflow", 64, 9800.0, share=0.74),
    figure("limit", 64, 13200.0, share=1.0),
    Figure(contestant="nameko", in_flight=64, rounds=0, failures=("the <server> was not ready",)),
    left_out={"celery": "it does not install"},
)


def test_a_report_needs_nothing_from_elsewhere() -> None:
    text = html(FULL)
    page = Page(text)

    assert all(target.startswith("#") for target in page.targets)
    assert not {"script", "link", "img", "iframe", "image", "object", "embed", "base"} & set(page.elements)
    assert "://" not in text
    assert "@import" not in text
    assert "@font-face" not in text
    assert not re.search(r"url\((?!#)", text)


def test_it_has_the_plots_inside_and_each_reference_finds_its_target() -> None:
    page = Page(html(FULL))

    assert page.elements.count("svg") == 3
    assert {target.removeprefix("#") for target in page.targets} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_it_says_how_near_novaflow_comes_to_the_limit_and_what_was_measured_where() -> None:
    text = html(FULL)

    assert "novaflow does 9,800 calls per second with 64 in flight, 0.74 of the limit." in text
    for words in ("22 November 2026", "a processor", "3.10.8", "it does not install"):
        assert words in text


def test_a_figure_with_losses_is_marked() -> None:
    text = html(FULL)

    assert '<span class="bad">370</span>' in text
    assert '<span class="bad">9,800</span>' not in text


def test_what_contestants_say_is_text_and_not_markup() -> None:
    assert "the &lt;server&gt; was not ready" in html(FULL)


def test_a_report_without_any_numbers_is_still_a_page() -> None:
    text = html(report(Figure(contestant="novaflow", in_flight=1, rounds=0, failures=("no broker",))))

    assert "no broker" in text


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return genuine(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(charts.NoPlotting, match=r"novaflow\[report\]"):
        html(FULL)
