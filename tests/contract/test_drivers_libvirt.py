"""What only the libvirt driver does, on real domains."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.states import Power
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Driver
from tests.support.guests import console_has, guest_spec, raw_image
from tests.support.libvirt import boot_sector, need_libvirt, process_directory, short_directory

EMBEDDED = Compute(virt="qemu:///embed", virt_type="qemu")


@pytest.fixture(autouse=True)
def _libvirt() -> None:
    need_libvirt()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "sector.img"
    path.write_bytes(boot_sector())
    return path


@pytest.fixture
async def host() -> str:
    return f"host-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def driver(host: str) -> AsyncIterator[Driver]:
    made = open_driver(EMBEDDED, host=host, directory=process_directory())
    await made.open()
    yield made
    for guest in await made.guests():
        await made.destroy(guest.server_id)
    await made.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, int]]]:
    """A compute host in a process of its own, and the guests it says it has."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.libvirt_host", *arguments,
        cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert started.stdin
    assert started.stdout
    try:
        line = await asyncio.wait_for(started.stdout.readline(), 60)
        yield started, json.loads(line)
        started.stdin.close()
        await asyncio.wait_for(started.wait(), 60)
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def test_guests_outlive_a_process_that_is_killed_and_are_found_again(directory: Path, image: Path) -> None:
    server_id = str(uuid.uuid4())
    async with process(str(directory), server_id, str(image)) as (first, spawned):
        first.kill()
        await first.wait()
        pid = int(next((directory / "libvirt/run/qemu").glob("instance-*.pid")).read_text())
        os.kill(pid, 0)  # QEMU is alive

    async with process(str(directory)) as (_, found):
        pass

    assert spawned == {server_id: Power.RUNNING}
    assert found == {server_id: Power.RUNNING}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list((directory / "host/instances").iterdir()) == []


async def test_a_guest_that_died_while_nobody_watched_is_off(directory: Path, image: Path) -> None:
    server_id = str(uuid.uuid4())
    async with process(str(directory), server_id, str(image)) as (first, _):
        first.kill()
        await first.wait()
        os.kill(int(next((directory / "libvirt/run/qemu").glob("instance-*.pid")).read_text()), 9)

    async with process(str(directory)) as (_, found):
        assert found == {server_id: Power.SHUTDOWN}


async def test_one_process_has_the_directory_and_another_is_told_so(directory: Path) -> None:
    async with process(str(directory)):
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.libvirt_host", str(directory),
            cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await asyncio.wait_for(second.communicate(), 60)

    assert "another process runs the embedded libvirt of this directory" in said.decode()


async def test_a_domain_that_is_not_ours_is_never_touched(driver: Driver, image: Path, directory: Path) -> None:
    server_id = str(uuid.uuid4())
    own = guest_spec(server_id=server_id, disk=raw_image(image))
    async with foreign_domain(server_id) as is_there:
        assert await driver.guests() == []
        assert await driver.power(server_id) == Power.NOSTATE
        await driver.destroy(server_id)
        with pytest.raises(GuestFailed, match="belongs to somebody else"):
            await driver.spawn(own)
        with pytest.raises(GuestFailed, match="belongs to somebody else"):
            await driver.power_on(server_id)
        assert await is_there()


@asynccontextmanager
async def foreign_domain(server_id: str) -> AsyncIterator["asyncio._CoroutineLike"]:  # type: ignore[name-defined]
    raise NotImplementedError
    yield
