"""The tiny guest image."""

from pathlib import Path

import click

from novaflow.virt.guest import build_guest
from services.seed import cache_dir


@click.group()
def guest() -> None:
    """Build the tiny Linux guest that a fresh cloud offers."""


@guest.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to put it [default: where `novaflow up` looks].",
)
def build(directory: Path | None) -> None:
    """Build the guest from the distribution's kernel and busybox; takes seconds, and none when it is there already.

    \b
    Example:
      novaflow guest build --directory /tmp/guest
    """
    files = build_guest(directory or cache_dir(), lambda step: click.echo(step, err=True))
    for name, path in (
        ("kernel", files.kernel),
        ("ramdisk", files.ramdisk),
        ("blank", files.blank),
        ("disk", files.disk),
    ):
        click.echo(f"{name:8} {path} ({path.stat().st_size / 2**20:.1f} MiB)")
