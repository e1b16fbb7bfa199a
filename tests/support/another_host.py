"""A compute host in a process of its own beside a cloud that runs, so that it can die without the cloud."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import msgspec

from novaflow.identity.credentials import SERVICE_FILE
from services import settings
from services.supervisor import READY

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 30.0


def command(state_dir: Path, name: str) -> tuple[str, ...]:
    """What `novaflow up` runs as a host of the cloud in `state_dir`, with another name and a directory of its own below."""
    config = settings.running_config(state_dir)
    home = state_dir / name
    home.mkdir()
    (home / SERVICE_FILE).symlink_to(state_dir / SERVICE_FILE)
    replace = msgspec.structs.replace
    path = settings.save(replace(config, state_dir=str(home), compute=replace(config.compute, host=name, hosts=1)))
    return (sys.executable, "-m", "services.cli", "compute", "--config", str(path), "--supervised")


class AnotherHost:
    """One that nobody starts again. Use it as a context: it lives when the block begins and has ended when the block has."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.name = name
        self.directory = state_dir / name / "compute" / name
        self._command = command(state_dir, name)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "AnotherHost":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.returncode is None:
            self._process.terminate()
            await self._ended()

    async def start(self) -> None:
        """Let it live, again; returns when it serves."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,  # closed by the kernel should this process be killed: the host then ends
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout
        async with asyncio.timeout(_START_SECONDS):
            said = await self._process.stdout.readline()
        assert said.decode().strip() == READY, said

    async def die(self) -> None:
        """At once, as when the machine loses its power; but the guests of an embedded libvirt go on."""
        assert self._process
        self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        assert self._process
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise
