"""A process of a private server: found, started in a session of its own, waited for, ended. It ends with us, however we end."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

POLL: Final = 0.02  # seconds
STOP_TIMEOUT: Final = 30.0  # seconds a process has to end by itself
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR")
_LAST_LINES: Final = 8

Failure = Callable[[str], Exception]


class OwnProcess:
    """One running command, whose output goes to the end of `log`; `failure` makes the error that says what went wrong with it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path,
        failure: Failure,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._log = log
        self._failure = failure
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_bound_to_us(), *command],
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """None when it has ended."""
        return None if self._process.poll() is not None else self._process.pid

    async def until(self, is_ready: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait until it is ready; raises the failure with its last words when it ends before, or is not in time."""
        await until_ready(self._name, is_ready, self._ending, log=self._log, seconds=seconds, failure=self._failure)

    async def end(self) -> None:
        """End it cleanly, by force if it does not end in time."""
        if self.pid is not None:
            self._process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        while self.pid is not None and time.monotonic() < deadline:
            await asyncio.sleep(POLL)
        self.kill()

    def kill(self) -> None:
        """End it as a crash would, with what it has started: RabbitMQ has programs for name look-ups and disk space."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _ending(self) -> str | None:
        status = self._process.poll()
        return None if status is None else f"ended with status {status}"


async def until_ready(
    name: str,
    is_ready: Callable[[], Awaitable[bool]],
    ending: Callable[[], str | None],
    *,
    log: Path,
    seconds: float,
    failure: Failure,
) -> None:
    """Look again and again until something is ready; raises the failure when `ending` says how it ended, or after `seconds`."""
    deadline = time.monotonic() + seconds
    while not await is_ready():
        if (ended := ending()) is not None:
            raise failure(f"{name} {ended}: {last_words(log)}")
        if time.monotonic() > deadline:
            raise failure(f"{name} did not answer within {seconds:g} s: {last_words(log)}")
        await asyncio.sleep(POLL)


def last_words(log: Path) -> str:
    """The end of a file, on one line."""
    return end_of(log.read_text(errors="replace"))


def end_of(text: str) -> str:
    """The last lines of what a program said, on one."""
    return " / ".join(line.strip() for line in text.splitlines()[-_LAST_LINES:] if line.strip()) or "it said nothing"


def installed(name: str, *, package: str, failure: Failure) -> str:
    """Where a program is, also one that only administrators have on their PATH; raises the failure."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise failure(f"{name} is not installed (on Debian and Ubuntu: apt-get install {package})")
    return path


def bare_environment() -> dict[str, str]:
    """What a process of ours keeps of our environment when it gets one of its own."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def _bound_to_us() -> list[str]:
    """Have the kernel end the process when this one dies without a word, where util-linux is there to ask it."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM", "--"]
