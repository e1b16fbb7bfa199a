"""The limit: the project's own C client, compiled where a compiler and librabbitmq are found."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from novaflow.lab.queue.peers import CONTESTANTS, Contestant, NotAvailable
from novaflow.lab.queue.virtual_environments import ProgramFailed, locked, run_program

LIMIT: Final = "limit"
_SOURCE: Final = CONTESTANTS / "limit.c"
_FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
_LIBRARIES: Final = ("-lrabbitmq",)
_TIMEOUT: Final = 120.0  # seconds
_PACKAGES: Final = "on Debian and Ubuntu: apt-get install gcc libc6-dev librabbitmq-dev"


async def prepare_limit(cache: Path, tell: Callable[[str], None]) -> Contestant:
    """The C client, compiled into `cache` if it is not there yet. Raises NotAvailable, which names the packages that help."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NotAvailable(f"the limit needs a C compiler and librabbitmq ({_PACKAGES})")
    try:
        program = await _compiled(compiler, cache.expanduser(), tell)
    except TimeoutError:
        raise NotAvailable(f"the limit was not compiled within {_TIMEOUT:g} s") from None
    except (ProgramFailed, OSError) as error:
        raise NotAvailable(f"the limit cannot be compiled ({_PACKAGES}): {error}") from error
    everything = frozenset({"transient", "durable", "quorum"})
    return Contestant(LIMIT, (str(program),), frozenset({"call", "cast", "fanout"}), everything, {})


async def _compiled(compiler: str, cache: Path, tell: Callable[[str], None]) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(" ".join([compiler, *_FLAGS, *_LIBRARIES]).encode() + _SOURCE.read_bytes()).hexdigest()[:12]
    program = cache / f"{LIMIT}-{key}"
    async with locked(cache / f"{program.name}.lock"):
        if not program.exists():
            tell(f"compiling the limit into {program}")
            unfinished = program.with_name(f"{program.name}.unfinished")
            async with asyncio.timeout(_TIMEOUT):
                await run_program(compiler, *_FLAGS, "-o", str(unfinished), str(_SOURCE), *_LIBRARIES)
            unfinished.replace(program)
    return program
