"""Volumes that take a while to copy: who may have them meanwhile, and what a process leaves behind that is killed."""

import asyncio
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from novaflow.images.inspect import inspect_file
from novaflow.virt.driver import Driver
from tests.support.embedded import host_process
from tests.support.guests import guest_spec, raw_image
from tests.support.hypervisors import embedded_host
from tests.support.libvirt import need_libvirt, process_directory, sector_image, short_directory
from tests.support.libvirt_host import VOLUME

MIB = 2**20
COPY = "44444444-4444-4444-8444-444444444444"
COPIED = 20 * MIB  # of the large one: QEMU is at it


@pytest.fixture(autouse=True)
def _libvirt() -> None:
    need_libvirt()


@pytest.fixture
def host() -> str:
    return f"host-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def driver(host: str) -> AsyncIterator[Driver]:
    async with embedded_host(host) as made:
        yield made


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A qcow2 that takes a while to copy."""
    raw, path = tmp_path / "large.img", tmp_path / "large.qcow2"
    raw.write_bytes(os.urandom(300 * MIB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path], check=True)
    raw.unlink()
    return path


async def test_no_guest_gets_a_volume_while_it_is_copied(
    driver: Driver, host: str, large: Path, tmp_path: Path
) -> None:
    guest = guest_spec(disk=raw_image(sector_image(tmp_path)))
    await driver.spawn(guest)
    await driver.make_volume(VOLUME, 1)
    large.replace(process_directory() / host / "volumes" / VOLUME / "disk")
    copying = asyncio.create_task(driver.snapshot_volume(VOLUME, COPY))
    await asyncio.sleep(0)

    await driver.attach_volume(guest.server_id, VOLUME, "vdb")

    assert copying.done()
    await copying


async def test_a_snapshot_of_a_volume_whose_process_is_killed_leaves_nothing_and_the_next_one_is_whole(
    directory: Path, large: Path, tmp_path: Path
) -> None:
    server_id, image = str(uuid.uuid4()), str(sector_image(tmp_path))
    marker = directory / "host" / "instances" / server_id / "copying"
    snapshots = directory / "host" / "volume_snapshots"
    part = snapshots / f"{COPY}.part"
    async with host_process(str(directory), server_id, image, COPY, str(large)) as (first, _):
        async with asyncio.timeout(60):
            while not (part.exists() and part.stat().st_size > COPIED):
                await asyncio.sleep(0.01)
        first.kill()
        await first.wait()

    async with host_process(str(directory), server_id, "-", COPY, "-"):
        assert not marker.exists()

    assert inspect_file(snapshots / COPY).format == "qcow2"
    assert [file.name for file in snapshots.iterdir()] == [COPY]
