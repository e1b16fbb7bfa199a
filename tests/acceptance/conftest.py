"""Whole clouds, as a user starts them, and the clients they are used with."""

import asyncio
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from novaflow.lab.openstack import connect
from services.detached import admin, detached
from tests.support.clients import OpenStackClient, environment
from tests.support.libvirt import need_libvirt, short_directory
from tests.support.linux_server import GUEST_IMAGE, asks_metadata_service, image_named
from tests.support.python27 import environment27, need_python27

_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def openstack_bin() -> Path:
    """Where the unmodified `openstack` client is."""
    return environment(_HERE / "openstackclient.lock")


@pytest.fixture(scope="session")
def boto27_bin() -> Path:
    """Where CPython 2.7 is that has boto 2.27."""
    return environment27(need_python27(), _HERE / "boto27.lock", _HERE / "virtualenv27.lock")


@pytest.fixture(scope="session")
def keystone27_bin() -> Path:
    """Where the unmodified `keystone` client of Icehouse is, on CPython 2.7."""
    locks = (_HERE / "keystone27.lock", _HERE / "virtualenv27.lock", _HERE / "pbr27.lock")
    return environment27(need_python27(), *locks)


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


@asynccontextmanager
async def ec2_cloud(state_dir: Path, *arguments: str) -> AsyncIterator[dict[str, str]]:
    """A cloud started with `arguments` whose guests ask the metadata service; gives what `novaflow env --ec2` prints."""
    need_libvirt()
    async with detached([*arguments, "--port-base", "0"], state_dir) as config, connect(admin(config)) as client:
        await asks_metadata_service(client, await image_named(client, GUEST_IMAGE))
        yield await asyncio.to_thread(printed_environment, state_dir, "--ec2")
