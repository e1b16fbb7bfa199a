"""Show what a request caused."""

import re
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from novaflow.errors import NotFound
from novaflow.lab.trace import Hop, of
from services import settings, spans
from services.cli.options import state_dir_option

_STYLES = {
    "http.server": "bold",
    "http.client": "cyan",
    "publish": "magenta",
    "handle": "green",
    "db": "yellow",
    "image": "cyan",
    "libvirt": "bold red",
}
_KINDS = {"http.client": "call ", "image": "call ", "db": "database: ", "libvirt": "libvirt: ", "handle": "handle "}
# What of a span is worth a word beside its name; the name of a transition tells the states, that of a call its topic.
_SHOWN = {"publish": ("event", "target"), "handle": ("event",)}
_SHOWN_ELSE = ("status", "event", "host")
_UUID = re.compile(r"\b([0-9a-f]{8})-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")


@click.command()
@click.argument("what", metavar="SERVER_OR_REQUEST")
@state_dir_option
def trace(what: str, state_dir: Path | None) -> None:
    """Show every message, database transition and outside call that a request caused, oldest first.

    \b
    Example:
      novaflow trace req-5e6a0c3e-1f0d-4f5c-9a43-1d5f4d1f7a11
    """
    hops = of(spans.read((state_dir or settings.default_state_dir()) / "trace"), what)
    if not hops:
        raise NotFound(kind="A trace of", key=what)
    console = Console(width=None if Console().is_terminal else 150, soft_wrap=False)
    console.print(table(hops))


def table(hops: list[Hop]) -> Table:
    """The hops as a table: when, how long, who, what."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    drawn.add_column("at", justify="right")
    drawn.add_column("took", justify="right")
    drawn.add_column("service")
    drawn.add_column("hop", overflow="fold")
    drawn.add_column("result", overflow="fold")
    for hop in hops:
        span = hop.span
        times = f"  x{hop.times}" if hop.times > 1 else ""
        name = f"{'  ' * hop.depth}{_KINDS.get(span.kind, '')}{_short(span.name)}{times}"
        drawn.add_row(
            f"{hop.offset * 1e3:,.1f} ms",
            f"{span.seconds * 1e3:,.1f} ms",
            span.service,
            Text(name, style=_STYLES.get(span.kind, "")),
            Text(_result(hop), style="" if span.outcome == "ok" else "red"),
        )
    return drawn


def _short(text: str) -> str:
    """`text` with the beginnings of its UUIDs: enough to tell them apart, and a hop stays one line."""
    return _UUID.sub("\\1…", text)


def _result(hop: Hop) -> str:
    shown = _SHOWN.get(hop.span.kind, _SHOWN_ELSE)
    facts = [str(hop.span.attributes[key]) for key in shown if hop.span.attributes.get(key) not in (None, "")]
    return " ".join([*([] if hop.span.outcome == "ok" else [hop.span.outcome]), *facts])
