"""moto's server: EC2's API over a dictionary, with no signature checked, no database and nothing that boots.

It is installed into a virtual environment of its own, and runs as a process of its own, as its users run it.
"""

import asyncio
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from novaflow.lab.ec2.doors import Ec2Api, Ec2Door
from novaflow.lab.ec2.rounds import Contestant, Void
from novaflow.lab.ec2.sending import image
from novaflow.lab.ec2.signing import Keys
from novaflow.lab.openstack import ApiError
from novaflow.lab.queue.peers import DEFAULT_CACHE, NotAvailable
from novaflow.lab.queue.processes import cpu_of_groups, end, errors_of, spawn
from novaflow.lab.queue.virtual_environments import ProgramFailed, python_with

NAME: Final = "moto"
_HOST: Final = "127.0.0.1"
_REQUIREMENTS: Final = Path(__file__).parent / "moto.txt"
_REGION: Final = "us-east-1"  # whose images it knows
_TYPE: Final = "m1.small"
_STARTED_WITHIN: Final = 60.0  # seconds
_LOOK: Final = 0.1
_PATIENCE: Final = 5.0


def version() -> str:
    """The one that is measured."""
    pins = dict(line.partition("==")[::2] for line in _REQUIREMENTS.read_text().splitlines())
    return pins[NAME]


async def installed(tell: Callable[[str], None], cache: Path = DEFAULT_CACHE) -> Path:
    """The Python that has it, installed where it is not there yet. Raises NotAvailable."""
    try:
        return await python_with(cache.expanduser(), NAME, _REQUIREMENTS, tell)
    except (ProgramFailed, OSError) as error:
        raise NotAvailable(f"{NAME} cannot be installed: {error}") from error


@asynccontextmanager
async def running(python: Path, scratch: Path) -> AsyncIterator[Contestant]:
    """The server while the block runs. Raises Void when it does not start."""
    port, output = _free_port(), scratch / "moto.out"
    process = await spawn((str(python), "-m", "moto.server", "-H", _HOST, "-p", str(port)), {}, output)
    try:
        api = Ec2Api(f"http://{_HOST}:{port}/", Keys(NAME, NAME), _REGION)
        door = Ec2Door(api, await _first_image(api, process, errors_of(output)), _TYPE)
        yield Contestant(NAME, door, lambda: {NAME: cpu_of_groups([process.pid])})
    finally:
        await end(process, _PATIENCE)


async def _first_image(api: Ec2Api, process: Process, errors: Path) -> str:
    """One of the images that it comes with; asked for until it answers."""
    deadline = asyncio.get_running_loop().time() + _STARTED_WITHIN
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        try:
            return await image(api, {})
        except (ApiError, aiohttp.ClientError, OSError):
            await asyncio.sleep(_LOOK)
    raise Void(f"{NAME} does not answer: {errors.read_text(errors='replace')[-600:]}")


def _free_port() -> int:
    with socket.socket() as held:
        held.bind((_HOST, 0))
        return int(held.getsockname()[1])
