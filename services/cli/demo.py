"""Boot one real guest through the whole flow and show it: every hop, then the guest's own words."""

import asyncio
import base64
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.live import Live

from novaflow.errors import GuestFailed, ServiceUnavailable
from novaflow.lab import trace
from novaflow.lab.openstack import OpenStack
from services import seed, spans
from services.cli.trace import table
from services.detached import admin, detached, logged_in

T = TypeVar("T")

_SPOKEN: Final = "hello from inside"
_USER_DATA: Final = f"""#!/bin/sh
echo "{_SPOKEN} $(hostname): kernel $(uname -r), $(nproc) cpu, $(grep MemTotal /proc/meminfo | tr -s ' ')"
"""
_LOOK_EVERY: Final = 0.25  # seconds
_BOOT_TIMEOUT: Final = 300.0  # seconds; a guest under software emulation on a busy machine
_IMAGE_TIMEOUT: Final = 60.0
_GONE_TIMEOUT: Final = 60.0
_LOG_HEAD: Final = re.compile(r"^\S+ \S+ \S+ [A-Z]+ [\w.]+: ")  # what services.logs puts before a message


@click.command()
@click.option("--full", is_flag=True, help="Every service as its own process, on a private RabbitMQ and MariaDB.")
@click.option("--virt", default="auto", show_default=True, help="As `novaflow up --virt`.")
def demo(full: bool, virt: str) -> None:  # noqa: FBT001
    """Start a cloud, boot a Linux guest by REST, show each hop and the guest's console, delete it, stop.

    Exits 0 only if the guest spoke and nothing of it is left.

    \b
    Example:
      novaflow demo --full
    """
    console = Console(width=None if sys.stdout.isatty() else 150)
    asyncio.run(_demo(_Show(console), full=full, virt=virt))


@dataclass(frozen=True)
class _Show:
    """What the audience sees."""

    console: Console

    def say(self, line: str) -> None:
        self.console.print(_LOG_HEAD.sub("", line), style="dim", markup=False, highlight=False)

    def title(self, line: str) -> None:
        self.console.print(f"\n{line}", style="bold", markup=False, highlight=False)

    @asynccontextmanager
    async def live(self, draw: Callable[[], Any]) -> AsyncIterator[None]:
        """Redraw while the block runs on a terminal; once, at its end, in a file."""
        if not self.console.is_terminal:
            yield
            self.console.print(draw())
            return
        with Live(draw(), console=self.console, refresh_per_second=4) as live:
            drawing = asyncio.create_task(self._redraw(live, draw))
            try:
                yield
            finally:
                drawing.cancel()
                live.update(draw())

    async def _redraw(self, live: Live, draw: Callable[[], Any]) -> None:
        while True:
            live.update(draw())
            await asyncio.sleep(_LOOK_EVERY)


async def _demo(show: _Show, *, full: bool, virt: str) -> None:
    state_dir = Path(tempfile.mkdtemp(prefix="novaflow-"))
    arguments = ["--port-base", "0", "--virt", virt]
    if full:
        arguments += ["--processes", "--bus", "private", "--db", "private"]
    try:
        show.title("The guest image")
        show.say(f"kernel and ramdisk are in {(await seed.build(show.say)).kernel.parent}")
        show.title("The cloud" + (", every service a process, on RabbitMQ and MariaDB" if full else ", in one process"))
        show.say("starting ...")
        async with detached(arguments, state_dir, show.say) as config, logged_in(admin(config)) as cloud:
            image = await _until(lambda: _image(cloud), _IMAGE_TIMEOUT, f"the image {seed.IMAGE_NAME}")
            show.title("One request, hop by hop")
            await cloud.login()  # a token of its own, so that the trace begins with the credentials
            server_id = await _boot(cloud, image)
            await _watch(show, cloud, server_id, state_dir)
            await _delete(show, cloud, server_id, state_dir)
    finally:
        shutil.rmtree(state_dir, ignore_errors=True)
    show.title("The guest spoke, and nothing of it is left.")


async def _until(look: Callable[[], Awaitable[T | None]], seconds: float, what: str) -> T:
    """Look until there is something; raises ServiceUnavailable when `seconds` were not enough for `what`."""
    deadline = time.monotonic() + seconds
    while (found := await look()) is None:
        if time.monotonic() > deadline:
            raise ServiceUnavailable(service="the cloud", reason=f"{what} took more than {seconds:.0f} s")
        await asyncio.sleep(_LOOK_EVERY)
    return found


async def _image(cloud: OpenStack) -> str | None:
    """The public guest image, once the cloud has it."""
    listed = await cloud.ask("GET", f"{cloud.image}/images?name={seed.IMAGE_NAME}&status=active")
    return str(listed["images"][0]["id"]) if listed["images"] else None


async def _boot(cloud: OpenStack, image: str) -> str:
    user_data = base64.b64encode(_USER_DATA.encode()).decode()
    return await cloud.boot("demo", image, "1", user_data=user_data, config_drive=True, networks="auto")


async def _watch(show: _Show, cloud: OpenStack, server_id: str, state_dir: Path) -> None:
    """Show the trace grow until the server is active, then wait for the guest to say what it must."""
    async with show.live(lambda: table(trace.of(spans.read(state_dir / "trace"), server_id))):
        await _until(lambda: _active(cloud, server_id), _BOOT_TIMEOUT, "the boot")
        await asyncio.sleep(_LOOK_EVERY * 2)  # the last spans are on their way to the file
    show.title("The guest's console")
    show.say("waiting for the guest to boot ...")
    for line in await _spoken(cloud, server_id):
        show.console.print(f"  {line}", markup=False, highlight=False)


async def _active(cloud: OpenStack, server_id: str) -> str | None:
    """The server's status once it is ACTIVE; raises GuestFailed when it will never be."""
    server = await cloud.server(server_id)
    if server is None or server["status"] == "ERROR":
        reason = (server or {}).get("fault", {}).get("message", "it is gone")
        raise GuestFailed(operation="boot", server_id=server_id, reason=reason)
    return "ACTIVE" if server["status"] == "ACTIVE" else None


async def _spoken(cloud: OpenStack, server_id: str) -> list[str]:
    """The guest's lines, once it told its instance id and its user-data script has run. Raises GuestFailed when it stays mute."""
    output = ""
    try:
        async with asyncio.timeout(_BOOT_TIMEOUT):
            while not (server_id in output and f"{_SPOKEN} demo" in output):
                url = f"{cloud.compute}/servers/{server_id}/action"
                answer = await cloud.ask("POST", url, json={"os-getConsoleOutput": {"length": 200}})
                output = answer["output"]
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        reason = f"the guest did not speak in {_BOOT_TIMEOUT:.0f} s; its console ends: {output[-300:]!r}"
        raise GuestFailed(operation="boot", server_id=server_id, reason=reason) from None
    return [line.rstrip() for line in output.splitlines() if line.strip()]


async def _delete(show: _Show, cloud: OpenStack, server_id: str, state_dir: Path) -> None:
    show.title("Deleting it")
    await cloud.delete_server(server_id)
    await _until(lambda: _gone(cloud, server_id), _GONE_TIMEOUT, "the deletion")
    statistics = (await cloud.ask("GET", f"{cloud.compute}/os-hypervisors/statistics"))["hypervisor_statistics"]
    # The image cache keeps a note of what the guest was made of for some minutes more; the trace is kept on purpose.
    files = [path for path in state_dir.rglob(f"*{server_id}*") if not {"trace", "images"} & {*path.parts}]
    show.say(f"servers: {len((await cloud.ask('GET', f'{cloud.compute}/servers'))['servers'])}")
    show.say(f"running guests: {statistics['running_vms']}, vcpus in use: {statistics['vcpus_used']}")
    show.say(f"files of the guest on the host: {len(files)}")
    if files or statistics["running_vms"] or statistics["vcpus_used"]:
        raise ServiceUnavailable(service="the compute host", reason=f"something of {server_id} is left: {files}")


async def _gone(cloud: OpenStack, server_id: str) -> bool | None:
    return True if await cloud.server(server_id) is None else None
