"""Other people's clients, unmodified, each in a virtual environment of its own."""

import asyncio
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "build" / "clients"
_INSTALL_TIMEOUT = 600
_COMMAND_TIMEOUT = 120


def environment(lock: Path) -> Path:
    """A virtual environment with exactly what `lock` pins; made once per content of the file. Gives its bin directory."""

    def make(directory: Path) -> None:
        run(sys.executable, "-m", "venv", "--clear", directory)

    return filled(lock, sys.version, make)


def filled(lock: Path, version: str, make: Callable[[Path], None]) -> Path:
    """The same with an empty environment by `make`, for an interpreter of this version."""
    name = hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:16]
    directory = CLIENTS / f"{lock.stem}-{name}"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f"{directory.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            make(directory)
            install(directory, lock)
            (directory / "complete").touch()
    return directory / "bin"


def install(directory: Path, lock: Path) -> None:
    """Put exactly what `lock` pins into a virtual environment. Raises as `run`."""
    words = ("-m", "pip", "install", "-qqq", "--no-deps", "--require-hashes", "-r", lock)
    run(directory / "bin" / "python", *words)


def run(*command: str | Path) -> None:
    """Run it; raises CalledProcessError, with its complaints on our standard error."""
    subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT, stdout=subprocess.DEVNULL)


class CommandFailed(Exception):
    """A client's command ended with another status than 0."""


async def output_of(program: Path, *words: str, environ: Mapping[str, str], stdin: bytes | None = None) -> str:
    """What a client's command prints that gets `environ` and nothing of ours but PATH. Raises CommandFailed with what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *(str(program), *words),
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(program.parent), **environ},
    )
    async with asyncio.timeout(_COMMAND_TIMEOUT):
        output, complaints = await process.communicate(stdin)
    if process.returncode:
        raise CommandFailed(f"{program.name} {' '.join(words)}: {complaints.decode()}")
    return output.decode()


@dataclass(frozen=True)
class OpenStackClient:
    """The `openstack` command with its environment."""

    bin: Path
    environ: dict[str, str]

    async def text(self, *words: str, stdin: bytes | None = None) -> str:
        """Run a command; gives what it printed. Raises CommandFailed with what it complained of."""
        return await output_of(self.bin / "openstack", *words, environ=self.environ, stdin=stdin)

    async def json(self, *words: str) -> Any:
        """The same, with the answer as JSON."""
        return msgspec.json.decode(await self.text(*words, "-f", "json"))
