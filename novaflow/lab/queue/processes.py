"""Programs of a measurement: started, ended, and their CPU read from outside, in the same way for every contestant."""

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
_GROUP, _USER, _SYSTEM = 2, 11, 12  # of the fields behind a process's name


def cpu_of_groups(groups: Iterable[int]) -> float:
    """Seconds of CPU, user and system, of every process that now belongs to one of these process groups."""
    wanted = {str(group) for group in groups}
    ticks = 0
    for fields in _processes():
        if fields[_GROUP] in wanted:
            ticks += int(fields[_USER]) + int(fields[_SYSTEM])
    return ticks / _TICKS


def broker_group(port: int) -> int | None:
    """The process group of the RabbitMQ that listens on this port of this machine; None when it cannot be seen."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    for process in _numbered(_PROC):
        try:
            # Something else may listen for it: a container's proxy, a tunnel. Their CPU is not the broker's.
            is_broker = (process / "comm").read_text().startswith("beam")
            if is_broker and any(os.readlink(file) in inodes for file in _numbered(process / "fd")):
                return os.getpgid(int(process.name))
        except OSError:
            continue
    return None


def _processes() -> Iterator[list[str]]:
    for process in _numbered(_PROC):
        try:
            stat = (process / "stat").read_text()
        except OSError:
            continue
        yield stat.rpartition(")")[2].split()


def _numbered(directory: Path) -> Iterator[Path]:
    return (path for path in directory.iterdir() if path.name.isdecimal())


def _listening(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


async def spawn(command: Sequence[str], environment: Mapping[str, str], output: Path) -> Process:
    """Start a program in a process group of its own; its standard output goes to `output`, its errors to `output`.err.

    The kernel ends it when this process dies without a word, where util-linux is there to ask for that.
    """
    setpriv = shutil.which("setpriv")
    bound = [] if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--"]
    with output.open("wb") as printed, errors_of(output).open("wb") as complained:
        return await asyncio.create_subprocess_exec(
            *bound,
            *command,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=printed,
            stderr=complained,
            start_new_session=True,
        )


async def end(process: Process, patience: float) -> None:
    """Ask the program to end, and after so many seconds end it and all that it started."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        # The group outlives its leader: a contestant's own workers must not run on into the next measurement.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def errors_of(output: Path) -> Path:
    """Where the errors of a program go whose output goes to `output`."""
    return output.with_suffix(".err")
