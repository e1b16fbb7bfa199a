"""The tiny guest image."""

import asyncio
from pathlib import Path

import click

from novaflow.virt.guest import build_guest
from services import settings
from services.cli.options import state_dir_option
from services.seed import cache_dir, guest_image

agent_option = click.option(
    "--agent", "with_agent", is_flag=True, help="The one with qemu-guest-agent, which can be given passwords."
)


@click.group()
def guest() -> None:
    """Build the tiny Linux guest that a fresh cloud offers."""


@guest.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to put it [default: where `novaflow up` looks].",
)
@agent_option
def build(directory: Path | None, *, with_agent: bool) -> None:
    """Build the guest from the distribution's kernel and busybox; takes seconds, and none when it is there already.

    \b
    Example:
      novaflow guest build --directory /tmp/guest
    """
    files = build_guest(directory or cache_dir(), lambda step: click.echo(step, err=True), with_agent=with_agent)
    for name, path in (
        ("kernel", files.kernel),
        ("ramdisk", files.ramdisk),
        ("blank", files.blank),
        ("disk", files.disk),
    ):
        click.echo(f"{name:8} {path} ({path.stat().st_size / 2**20:.1f} MiB)")


@guest.command()
@state_dir_option
@agent_option
def upload(state_dir: Path | None, *, with_agent: bool) -> None:
    """Put the guest into a running cloud as the public image novaflow-guest, unless it is there; `novaflow up` does so.

    The one with an agent is novaflow-guest-agent, and only there when it is asked for.

    \b
    Example:
      novaflow guest upload --state-dir /tmp/cloud --agent
    """
    config = settings.running_config(state_dir or settings.default_state_dir())
    click.echo(f"image {asyncio.run(guest_image(config, with_agent=with_agent))} is there")
