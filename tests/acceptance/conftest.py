"""Whole clouds, as a user starts them, and the clients they are used with."""

import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.detached import detached
from tests.support.clients import OpenStackClient, environment
from tests.support.libvirt import short_directory


@pytest.fixture(scope="session")
def openstack_bin() -> Path:
    """Where the unmodified `openstack` client is."""
    return environment(Path(__file__).parent / "openstackclient.lock")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A directory whose path is short enough for libvirt's sockets; guests that a failed test left end with it."""
    with short_directory() as path:
        yield path


def printed_environment(state_dir: Path, *flags: str) -> dict[str, str]:
    """What `novaflow env` tells a shell to export."""
    command = [sys.executable, "-m", "services.cli", "env", "--state-dir", str(state_dir), *flags]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    pairs = (line.removeprefix("export ").partition("=") for line in printed.splitlines())
    return {name: shlex.split(value)[0] for name, _, value in pairs}


@asynccontextmanager
async def client_of(state_dir: Path, openstack_bin: Path, *arguments: str) -> AsyncIterator[OpenStackClient]:
    """A cloud started with `arguments`, and a client with the environment that `novaflow env` prints."""
    async with detached([*arguments, "--port-base", "0"], state_dir):
        yield OpenStackClient(openstack_bin, printed_environment(state_dir))
