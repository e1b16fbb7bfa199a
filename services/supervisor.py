"""Every service as its own process, started in order, started again when it dies, stopped together.

A child tells that it serves by the line `ready` on its standard output, and stops by itself when its standard
input closes, so that nothing is left behind when the supervisor is killed.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from novaflow.errors import ServiceUnavailable

READY: Final = "ready"
_START_TIMEOUT: Final = 60.0  # seconds a child may take to serve
_FIRST_DELAY: Final = 0.2  # seconds before a dead child is started again; doubles
_LONGEST_DELAY: Final = 5.0
_HEALTHY_AFTER: Final = 10.0  # seconds a child must have lived for the delay to start over
# glibc keeps freed memory for each thread; services whose threads take turns with megabytes (password hashes, image
# chunks) give it back instead.
_SMALL: Final = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
log = logging.getLogger(__name__)


class Child:
    """One service in one process, kept alive."""

    def __init__(self, name: str, config: Path, log_file: Path) -> None:
        self.name = name
        self._config = config
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The running process, if there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def wait_ready(self) -> None:
        """Until the child serves; raises ServiceUnavailable with the end of its log when it does not."""
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._ready.wait()
        except TimeoutError:
            raise ServiceUnavailable(service=self.name, reason=self._last_words()) from None

    async def keep_alive(self, on_change: Callable[[], None]) -> None:
        """Start the process and start it again whenever it dies, until it is stopped."""
        delay = _FIRST_DELAY
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            await self._run(on_change)
            if self._stopping.is_set():
                return
            delay = _FIRST_DELAY if loop.time() - began > _HEALTHY_AFTER else min(delay * 2, _LONGEST_DELAY)
            log.warning("%s died (%s), starting it again in %.1f s", self.name, self._last_words(), delay)
            await asyncio.sleep(delay)

    async def _run(self, on_change: Callable[[], None]) -> None:
        with self._log_file.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.cli", self.name, "--config", str(self._config), "--supervised"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=os.environ | _SMALL,
                start_new_session=True,
            )
        assert self._process.stdout  # noqa: S101 - asked for above
        async for line in self._process.stdout:
            if line.strip() == READY.encode():
                self._ready.set()
                on_change()
        await self._process.wait()
        self._ready.clear()

    def stop(self) -> None:
        """Ask the process to drain and end."""
        self._stopping.set()
        if self.pid and self._process:
            self._process.send_signal(signal.SIGTERM)

    async def ended(self, timeout: float) -> None:
        """Wait for the end; after `timeout` seconds enforce it."""
        if not self.pid or not self._process:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._process.wait()
        except TimeoutError:
            log.warning("%s did not drain in %.0f s and is killed", self.name, timeout)
            self._process.kill()
            await self._process.wait()

    def _last_words(self) -> str:
        try:
            lines = self._log_file.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else f"it did not get ready in {_START_TIMEOUT:.0f} s"


@asynccontextmanager
async def supervised(
    names: Sequence[str], config: Path, log_dir: Path, drain_timeout: float, on_change: Callable[[list[Child]], None]
) -> AsyncIterator[list[Child]]:
    """Every service of `names` runs in a process of its own while the block runs."""
    log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    children = [Child(name, config, log_dir / f"{name}.log") for name in names]
    async with asyncio.TaskGroup() as tasks:
        keepers = [
            tasks.create_task(child.keep_alive(lambda: on_change(children)), name=child.name) for child in children
        ]
        try:
            await asyncio.gather(*(child.wait_ready() for child in children))
            yield children
        finally:
            # The other way round: nova-api stops taking requests before those who work for it go.
            for child in reversed(children):
                child.stop()
            await asyncio.gather(*(child.ended(drain_timeout + 5.0) for child in children))
            for keeper in keepers:
                keeper.cancel()
