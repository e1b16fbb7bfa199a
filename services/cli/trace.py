"""Show what a request caused."""

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
_SHOWN = ("status", "event", "after", "host", "target")


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
        name = f"{'  ' * hop.depth}{_KINDS.get(span.kind, '')}{span.name}" + (
            f"  x{hop.times}" if hop.times > 1 else ""
        )
        drawn.add_row(
            f"{hop.offset * 1e3:,.1f} ms",
            f"{span.seconds * 1e3:,.1f} ms",
            span.service,
            Text(name, style=_STYLES.get(span.kind, "")),
            Text(_result(hop), style="" if span.outcome == "ok" else "red"),
        )
    return drawn


_KINDS = {"http.client": "call ", "db": "database: ", "libvirt": "libvirt: ", "handle": "handle "}


def _result(hop: Hop) -> str:
    facts = [str(hop.span.attributes[key]) for key in _SHOWN if hop.span.attributes.get(key) not in (None, "")]
    return " ".join([*([] if hop.span.outcome == "ok" else [hop.span.outcome]), *facts])
