"""Every service as its own process, started in order, started again when it dies, stopped together.

A child tells that it serves by the line `ready` on its standard output, and stops by itself when its standard
input closes, so that nothing is left behind when the supervisor is killed. One that served once is started again for ever; one
that never did is given up soon, since what keeps it from starting (a port, a URL) does not mend itself.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from novaflow.errors import ServiceUnavailable
from services.groups import one_error

READY: Final = "ready"
_START_TIMEOUT: Final = 60.0  # seconds a child may take to serve
_FIRST_DELAY: Final = 0.2  # seconds before a dead child is started again; doubles
_LONGEST_DELAY: Final = 5.0
_FIRST_TRIES: Final = 3  # starts of a child that has never served
_LAST_MOMENT: Final = 1.0  # seconds a child has to end even when the others took all the time
_HEALTHY_AFTER: Final = 10.0  # seconds a child must have lived for the delay to start over
# glibc keeps freed memory for each thread; services whose threads take turns with megabytes (password hashes, image
# chunks) give it back instead.
_SMALL: Final = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
_SENTENCE: Final = "novaflow: "  # how services.cli begins what it has to say before it ends
_ASIDES: Final = ("[SQL", "(Background on")  # what SQLAlchemy adds below an error
log = logging.getLogger(__name__)


class Child:
    """One service in one process, kept alive."""

    def __init__(self, name: str, command: Sequence[str], log_file: Path) -> None:
        self.name = name
        self._command = command
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._has_served = False
        self._is_settled = asyncio.Event()  # it serves, or was given up
        self._log_began = 0  # where in the file the words of the last start begin
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The running process, if there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def wait_ready(self) -> None:
        """Until the child serves; raises ServiceUnavailable with the end of its log when it does not."""
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._is_settled.wait()
        except TimeoutError:
            raise ServiceUnavailable(service=self.name, reason=self._last_words()) from None
        if not self._has_served:
            raise ServiceUnavailable(service=self.name, reason=self._last_words())

    async def keep_alive(self, on_change: Callable[[], None]) -> None:
        """Start the process and start it again whenever it dies, until it is stopped or given up."""
        delay = _FIRST_DELAY
        tries = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            await self._run(on_change)
            tries += 1
            if self._stopping.is_set():
                return
            if not self._has_served and tries == _FIRST_TRIES:
                self._is_settled.set()
                return
            delay = _FIRST_DELAY if loop.time() - began > _HEALTHY_AFTER else min(delay * 2, _LONGEST_DELAY)
            log.warning("%s died (%s), starting it again in %.1f s", self.name, self._last_words(), delay)
            await asyncio.sleep(delay)

    async def _run(self, on_change: Callable[[], None]) -> None:
        with self._log_file.open("ab") as errors:
            self._log_began = errors.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=os.environ | _SMALL,
                start_new_session=True,
            )
        assert self._process.stdout  # noqa: S101 - asked for above
        async for line in self._process.stdout:
            if line.strip() == READY.encode():
                self._has_served = True
                self._is_settled.set()
                on_change()
        await self._process.wait()

    def let_go(self) -> None:
        """Do not start the process again."""
        self._stopping.set()

    def stop(self) -> None:
        """Ask the process to drain and end."""
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
        """The sentence that the command line ended with, or the end of a traceback."""
        try:
            text = self._log_file.read_bytes()[self._log_began :].decode(errors="replace")
        except OSError:
            text = ""
        lines = [line for line in text.splitlines() if line and not line.startswith(_ASIDES)]
        said = [line.removeprefix(_SENTENCE) for line in lines if line.startswith(_SENTENCE)] or lines
        return said[-1] if said else f"it did not get ready in {_START_TIMEOUT:.0f} s"


@asynccontextmanager
async def supervised(
    commands: Mapping[str, Sequence[str]],
    log_dir: Path,
    drain_timeout: float,
    on_change: Callable[[list[Child]], None],
) -> AsyncIterator[list[Child]]:
    """Each of `commands` runs in a process of its own while the block runs; `on_change` hears of every start.

    Raises ServiceUnavailable with the last words of one that does not get ready.
    """
    log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    children = [Child(name, command, log_dir / f"{name}.log") for name, command in commands.items()]
    with one_error():
        async with asyncio.TaskGroup() as tasks:
            keepers = [
                tasks.create_task(child.keep_alive(lambda: on_change(children)), name=child.name) for child in children
            ]
            try:
                async with asyncio.TaskGroup() as starting:
                    for child in children:
                        starting.create_task(child.wait_ready(), name=f"{child.name} gets ready")
                yield children
            finally:
                await _drain(children, drain_timeout)
                for keeper in keepers:
                    keeper.cancel()


async def _drain(children: Sequence[Child], timeout: float) -> None:
    """One after the other, the last first: whoever drains still finds those it works with. All within the deadline."""
    for child in children:
        child.let_go()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    for child in reversed(children):
        child.stop()
        await child.ended(max(deadline - loop.time(), _LAST_MOMENT))


async def stop_with_parent() -> None:
    """For the supervised process itself: end as by SIGTERM when the other end of its standard input closes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    os.kill(os.getpid(), signal.SIGTERM)
