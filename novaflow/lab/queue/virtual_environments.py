"""Virtual environments for the peers: each made once, whole or not at all, by one process at a time."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_COMPLETE: Final = ".complete"  # in a finished environment
_TIMEOUT: Final = 600.0  # seconds that one environment may take
_LOCK_TIMEOUT: Final = 900.0  # somebody else may be making it
_LOOK: Final = 0.2
_TEXT_LIMIT: Final = 600  # characters of what a program says in the end


class ProgramFailed(Exception):
    """A program did not do its work; says which and why."""


def directory_for(cache: Path, name: str, requirements: str) -> Path:
    """Where the environment of this name, these requirements and this Python belongs."""
    what = f"{sys.version_info.major}.{sys.version_info.minor}\n{requirements}"
    return cache / f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


async def python_with(cache: Path, name: str, requirements: Path, tell: Callable[[str], None]) -> Path:
    """The Python of an environment with the packages of this requirements file; makes it if it is not there.

    Raises ProgramFailed if it cannot be made.
    """
    directory = directory_for(cache, name, requirements.read_text())
    python = directory / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    async with locked(directory.with_name(f"{directory.name}.lock")):
        if (directory / _COMPLETE).exists() and python.exists():
            return python
        tell(f"installing {name} into {directory}")
        shutil.rmtree(directory, ignore_errors=True)
        try:
            async with asyncio.timeout(_TIMEOUT):
                await run_program(sys.executable, "-m", "venv", str(directory))
                pip = (str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
                await run_program(*pip, "install", "--requirement", str(requirements))
        except TimeoutError:
            raise ProgramFailed(f"{name} was not installed within {_TIMEOUT:g} s") from None
        (directory / _COMPLETE).touch()
    return python


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """One process at a time; the lock ends with its holder, however that ends. Raises ProgramFailed if it takes too long."""
    with path.open("a") as file:
        try:
            async with asyncio.timeout(_LOCK_TIMEOUT):
                while not _lock(file.fileno()):
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            raise ProgramFailed(f"another process has held {path} for {_LOCK_TIMEOUT:g} s") from None
        yield


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def run_program(*command: str) -> None:
    """Run a program to its end; it is ended when this is cancelled. Raises ProgramFailed with the end of what it says."""
    # Settings of the Python that runs this would mislead another one.
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=kept,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise ProgramFailed(f"{command[0]} cannot be started: {error.strerror}") from None
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        text = " ".join(said.decode(errors="replace").split())[-_TEXT_LIMIT:]
        raise ProgramFailed(f"{Path(command[0]).name} ended with status {process.returncode}: {text}")
