"""Look at a server: what it says, where its screen is served, and a picture of that."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from novaflow.errors import Conflict, NotFound
from novaflow.lab.openstack import ApiError, OpenStack
from services import settings
from services.cli.options import state_dir_option
from services.detached import admin, logged_in

_VNC: Final = {"remote_console": {"protocol": "vnc", "type": "novnc"}}


@click.command()
@click.argument("server")
@click.option("--lines", type=click.IntRange(0), default=20, show_default=True, help="Of the console log's end.")
@click.option(
    "--screenshot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Save the screen as a PNG to this file.",
)
@state_dir_option
def console(server: str, lines: int, screenshot: Path | None, state_dir: Path | None) -> None:
    """Print where SERVER's screen is served by VNC and the end of what it wrote to its serial console; save its screen.

    SERVER is a name or an id. Everything comes through the public API.

    \b
    Example:
      novaflow console web --screenshot web.png
    """
    asyncio.run(_look(server, lines, screenshot, state_dir or settings.default_state_dir()))


async def _look(server: str, lines: int, screenshot: Path | None, state_dir: Path) -> None:
    async with logged_in(admin(settings.running_config(state_dir))) as cloud:
        found = await _find(cloud, server)
        url = f"{cloud.compute}/servers/{found['id']}"
        click.echo(f"server  {found['id']} {found['name']}")
        click.echo(f"screen  {await _screen(cloud, url)}")
        if screenshot is not None:
            screenshot.write_bytes(await cloud.ask("GET", f"{url}/os-novaflow-screenshot"))
            click.echo(f"picture {screenshot}")
        answer = await cloud.ask("POST", f"{url}/action", json={"os-getConsoleOutput": {"length": lines}})
    click.echo(answer["output"].rstrip("\n"))


async def _find(cloud: OpenStack, server: str) -> dict[str, Any]:
    """The server of this id, or of this name in any project. Raises NotFound, Conflict for a name of several."""
    by_id = await cloud.ask("GET", f"{cloud.compute}/servers/{quote(server, safe='')}", accept=(200, 404))
    if "server" in by_id:
        shown: dict[str, Any] = by_id["server"]
        return shown
    listed = await cloud.ask("GET", f"{cloud.compute}/servers?all_tenants=1&limit=1000")
    named: list[dict[str, Any]] = [one for one in listed["servers"] if one["name"] == server]
    if not named:
        raise NotFound(kind="Server", key=server)
    if len(named) > 1:
        raise Conflict(reason=f"{len(named)} servers are named {server}: say which by its id")
    return named[0]


async def _screen(cloud: OpenStack, url: str) -> str:
    """Where it is served; a server that is off, or moves, has none."""
    try:
        answer = await cloud.ask("POST", f"{url}/remote-consoles", json=_VNC)
    except ApiError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        return "none"
    return str(answer["remote_console"]["url"])
