"""A cloud in a child process, for commands that are its client: the demo, the benchmarks, the tests."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from novaflow.config import Config
from novaflow.errors import ServiceUnavailable
from novaflow.lab.openstack import ApiError, Credentials, OpenStack, connect
from services import settings
from services.cloud import admin_password
from services.supervisor import READY

_START_TIMEOUT: Final = 180.0  # seconds; a private broker and database on a slow machine included
_STOP_TIMEOUT: Final = 90.0


@asynccontextmanager
async def detached(
    arguments: Sequence[str], state_dir: Path, on_line: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Config]:
    """`novaflow up ARGUMENTS` in `state_dir` while the block runs; gives the configuration in effect.

    Raises ServiceUnavailable with the cloud's last words when it does not get ready.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "up", "--supervised", "--state-dir", str(state_dir), *arguments),
        stdin=asyncio.subprocess.PIPE,  # closed by the kernel should this process be killed: the cloud then ends
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout  # noqa: S101 - asked for above
    last_words: list[str] = []
    ready = asyncio.Event()
    reader = asyncio.create_task(_read(child.stdout, last_words, ready, on_line))
    try:
        await _until_ready(child, ready, last_words)
        yield settings.running_config(state_dir)
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
        await reader


async def _read(
    stream: asyncio.StreamReader, last_words: list[str], ready: asyncio.Event, on_line: Callable[[str], None]
) -> None:
    async for raw in stream:
        line = raw.decode(errors="replace").rstrip()
        if line == READY:
            ready.set()
        elif line:
            last_words[:] = [*last_words[-4:], line]
            on_line(line)
    ready.set()


async def _until_ready(child: asyncio.subprocess.Process, ready: asyncio.Event, last_words: list[str]) -> None:
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            await ready.wait()
    except TimeoutError:
        raise ServiceUnavailable(service="the cloud", reason=f"not ready after {_START_TIMEOUT:.0f} s") from None
    if child.returncode is not None or child.stdout is None or child.stdout.at_eof():
        raise ServiceUnavailable(service="the cloud", reason=" / ".join(last_words) or "it ended without a word")


def admin(config: Config) -> Credentials:
    """How the cloud's admin logs in."""
    return Credentials(
        auth_url=f"{config.identity_url}/v3",
        user=config.identity.admin_user,
        password=admin_password(config),
        project=config.identity.admin_project,
        region=config.identity.region,
    )


@asynccontextmanager
async def logged_in(credentials: Credentials) -> AsyncIterator[OpenStack]:
    """A session with a cloud. What goes wrong there while the block runs is raised as ServiceUnavailable."""
    try:
        async with connect(credentials) as cloud:
            yield cloud
    except (ApiError, aiohttp.ClientError) as error:
        raise ServiceUnavailable(service="the cloud", reason=str(error) or type(error).__name__) from error
